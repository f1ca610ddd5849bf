"""What `eventpub status` says where there is little to see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.commands import Command

from eventpub.cli.findings import Level
from eventpub.sidecar.commands.judgement import judge_host
from eventpub.sidecar.commands.overview import Overview, Service, SlotSight
from eventpub.sidecar.commands.pending import SlotBacklog
from eventpub.sidecar.commands.queue_sight import QueueSight
from eventpub.sidecar.status.ask import Asked, Condition


def test_a_host_that_shows_no_queues_is_not_called_well_because_nothing_was_found() -> None:
    (finding,) = judge_host(Overview(0.0, (), (), lists_queues=False))
    assert (finding.level, "eventpub status CONFIG.ini" in finding.remedy) == (Level.WARNING, True)
    assert judge_host(Overview(0.0, (), (), lists_queues=True)) == []


def test_a_file_that_is_not_there_is_answered_with_options_that_the_command_has(
    eventpub: Command, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.ini"
    assert [eventpub("status", missing).code, eventpub("top", "--once", missing).code] == [78, 78]
    assert "--spool" not in eventpub("status", missing).err
    assert "--spool DIR" in eventpub("top", "--once", missing).err


def test_a_queue_that_is_served_from_another_spool_is_not_told_to_have_no_sidecar() -> None:
    queue = QueueSight("v2", depth=1, capacity=10)
    running = Asked(Path("/new/v2/0"), Condition.SILENT, words="it is starting", pid=7)
    used = Service(queue, Path("/new/v2"), (SlotSight(running),))

    def judge_left(events: int) -> list[str]:
        left = SlotSight(Asked(Path("/old/v2/0"), Condition.DEAD, words="nobody"), make_backlog(events))
        services = (used, Service(queue, Path("/old/v2"), (left,)))
        return [finding.text for finding in judge_host(Overview(0.0, services, ()))]

    assert judge_left(0) == ["v2: it is starting"]
    assert judge_left(3) == ["v2: it is starting", "v2: 3 events in /old, a spool that no sidecar uses"]
    texts = [finding.text for finding in judge_host(Overview(0.0, (replace(used, slots=()),), ()))]
    assert texts == ["v2: no sidecar runs; 1 event waits for one"]


def make_backlog(events: int) -> SlotBacklog:
    return SlotBacklog("0", "", 1, events, 100, 1.0, 0, 0)
