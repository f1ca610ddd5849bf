"""What `eventpub status` says where there is little to see."""

from __future__ import annotations

from pathlib import Path

from support.commands import Command

from eventpub.cli.findings import Level
from eventpub.sidecar.commands.judgement import judge_host
from eventpub.sidecar.commands.overview import Overview


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
