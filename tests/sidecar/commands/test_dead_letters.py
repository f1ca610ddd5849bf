"""`eventpub dead-letters` on letters of a real sidecar, replayed to a real collector that fails as told."""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.commands import QUEUE, Command, SpoolFolder, killed_in_a_child
from support.disks import KillingDisk
from support.nursery import Nursery, NurserySidecar
from support.paths import ROOT
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.commands import letters
from eventpub.sidecar.commands.place import locate_spool
from eventpub.sidecar.commands.replay import run_replay

OLD, NEW = b"old secret", b"new secret"
BATCH = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2


@pytest.fixture
def eventpub(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture
def spool(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path / "spool")


@pytest.fixture
def collector(nursery: Nursery, tmp_path: Path) -> Iterator[CollectorProcess]:
    """One that knows the new key only."""
    with CollectorProcess(tmp_path, keys={"test": NEW}, nursery=nursery) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, spool: SpoolFolder, collector: CollectorProcess) -> Path:
    return write_config(tmp_path / "example.ini", spool, collector.hostname)


def write_config(path: Path, spool: SpoolFolder, hostname: str, **keys: str) -> Path:
    lines = {
        "collector.hostname": hostname,
        "collector.scheme": "http",
        "collector.version": "2j",
        "key.name": "test",
        "key.secret": base64.b64encode(NEW).decode(),
        "spool.dir": str(spool.directory),
    } | {name.replace("_", ".", 1): value for name, value in keys.items()}
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    path.write_text(f"[event-publisher:{QUEUE}]\n{text}")
    return path


def fill(spool: SpoolFolder, count: int, batch_id: str = BATCH) -> list[dict[str, int]]:
    """Bury events and return them."""
    for index in range(count):
        spool.letter(b'{"n":%d}' % index, batch_id=batch_id, index=index)
    return [{"n": index} for index in range(count)]


def stored(collector: CollectorProcess) -> list[Any]:
    return sorted((row["event"] for row in collector.events()), key=str)


def place(config: Path) -> tuple[object, ...]:
    return ("--queue-name", QUEUE, config)


# --- list and show ---------------------------------------------------------------------------------------


def test_list_shows_why_each_event_died_the_newest_last(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b"{}", batch_id=OTHER, reason="too_large", status=413, died_at="2020-02-02T00:00:00Z")
    spool.letter(b"garbage", batch_id=BATCH, index=12, reason="malformed", status=None, detail="x" * 99,
                 died_at="2020-01-01T00:00:00Z")  # fmt: skip
    done = eventpub("dead-letters", "list", "--spool", spool.directory)
    assert (done.code, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["DIED", "AT", "QUEUE", "REASON", "STATUS", "ID", "BYTES", "DETAIL"],
        ["2020-01-01T00:00:00Z", "q", "malformed", "-", "0123456789ab-12", "7", "x" * 59 + "…"],
        ["2020-02-02T00:00:00Z", "q", "too_large", "413", "fedcba987654-0", "2", "n:", "bad"],
    ]
    assert done.out.splitlines()[2].endswith("  n: bad")
    assert "\x1b" not in done.out


def test_letter_of_a_reason_that_another_version_wrote_is_listed_and_shown(
    eventpub: Command, spool: SpoolFolder
) -> None:
    path = spool.letter(b"{}", batch_id=BATCH)
    path.write_text(path.read_text().replace("rejected", "of_another_kind"))
    for action in (("list",), ("list", "--json"), ("show", BATCH)):
        done = eventpub("dead-letters", action[0], "--spool", spool.directory, *action[1:])
        assert (done.code, "of_another_kind" in done.out) == (0, True)


def test_list_does_nothing_to_the_terminal_that_shows_it(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b'{"a":"\xc2\x9b31m"}', batch_id=BATCH, detail="\x1b[31mred")
    for words in (("list",), ("list", "--json"), ("show", BATCH)):
        out = eventpub("dead-letters", words[0], "--spool", spool.directory, *words[1:]).out
        assert out.replace("\n", "").isprintable()


def test_list_can_be_filtered(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b"{}", batch_id=BATCH, reason="too_large", died_at="2020-01-31T11:00:00Z")
    spool.letter(b"{}", batch_id=OTHER)

    def ids(*words: str) -> list[str]:
        done = eventpub("dead-letters", "list", "--spool", spool.directory, "--json", *words)
        return [json.loads(line)["batch_id"] for line in done.out.splitlines()]

    assert ids() == [BATCH, OTHER]
    assert ids("--reason", "too_large") == [BATCH]
    assert ids("--since", "1h") == [OTHER]
    assert ids("--since", "2020-01-31T10:59:59") == [BATCH, OTHER]
    assert ids("--since", "2020-01-31T11:00:01Z") == [OTHER]
    assert eventpub("dead-letters", "list", "--spool", spool.directory, "--since", "soon").code == 64


@pytest.mark.parametrize("action", ["list", "replay"])
def test_reasons_are_those_that_help_lists(eventpub: Command, action: str) -> None:
    reasons = "{malformed,rejected,too_large,report}"
    assert f"--reason {reasons}" in eventpub("dead-letters", action, "--help").out
    done = eventpub("dead-letters", action, "--reason", "foo")
    assert (done.code, "invalid choice: 'foo'" in done.err) == (64, True)


def test_options_may_stand_before_the_ids(eventpub: Command, spool: SpoolFolder, config: Path) -> None:
    spool.letter(b"{}", batch_id=BATCH)
    assert eventpub("dead-letters", "show", str(config), "--queue-name", "q", BATCH).code == 0


def test_list_names_files_that_are_no_dead_letters_and_goes_on(eventpub: Command, spool: SpoolFolder) -> None:
    fill(spool, 1)
    (spool.dead / "notes.json").write_text("{}")
    (spool.dead / f"{OTHER}-00000.json").write_text("[" * 100_000)
    done = eventpub("dead-letters", "list", "--spool", spool.directory, "--json")
    assert (done.code, len(done.out.splitlines())) == (1, 1)
    assert "notes.json: its name is not that of a dead letter" in done.err
    assert f"{OTHER}-00000.json: it is nested too deeply" in done.err


def test_show_prints_the_letter_with_its_event_decoded(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b'{"a":{"b":1}}', batch_id=BATCH, index=3)
    done = eventpub("dead-letters", "show", "--spool", spool.directory, "0123-3")
    document = json.loads(done.out)
    assert (done.code, document["event"], document["index"]) == (0, {"a": {"b": 1}}, 3)
    assert '    "a": {\n' in done.out


@pytest.mark.parametrize(
    ("event", "shown"),
    [(b"garbage", {"event": "garbage"}), (b"\xff", {"event_base64": "/w=="})],
)
def test_show_prints_what_is_no_json_as_it_came(
    eventpub: Command, spool: SpoolFolder, event: bytes, shown: dict[str, str]
) -> None:
    spool.letter(event, batch_id=BATCH)
    document = json.loads(eventpub("dead-letters", "show", "--spool", spool.directory, BATCH).out)
    assert document.items() >= shown.items()


def test_an_id_may_be_shortened_until_it_is_ambiguous(eventpub: Command, spool: SpoolFolder) -> None:
    fill(spool, 2)
    spool.letter(b"{}", batch_id="0123" + OTHER[4:])
    show = ("dead-letters", "show", "--spool", spool.directory)
    assert eventpub(*show, "01234").out.count('"died_at"') == 2  # all of that batch
    for wrong, complaint in [
        ("0123", "is the beginning of several ids"),
        ("01234-7", "no dead letter 01234-7"),
        ("../../etc", "is no id"),
    ]:
        done = eventpub(*show, wrong)
        assert (done.code, done.out) == (1, "")
        assert complaint in done.err


# --- drop ------------------------------------------------------------------------------------------------


def test_drop_asks_for_yes(eventpub: Command, spool: SpoolFolder) -> None:
    fill(spool, 2)
    before = spool.files()
    done = eventpub("dead-letters", "drop", "--spool", spool.directory, "--all")
    assert (done.code, done.out) == (1, "")
    assert "these would be lost: 2 dead letters" in done.err
    assert spool.files() == before


@pytest.mark.parametrize(
    ("words", "left"),
    [(["--all"], set()), (["--older-than", "30d"], {OTHER}), ([BATCH], {OTHER}), ([f"{OTHER[:8]}-0"], {BATCH})],
)
def test_drop_removes_what_is_named(
    eventpub: Command, spool: SpoolFolder, words: list[str], left: set[str]
) -> None:
    spool.letter(b"{}", batch_id=BATCH, died_at="2020-01-01T00:00:00Z")
    spool.letter(b"{}", batch_id=OTHER)
    done = eventpub("dead-letters", "drop", "--spool", spool.directory, *words, "--yes")
    assert (done.code, done.out) == (0, f"dropped {2 - len(left)}\n")
    assert {path.name[:32] for path in spool.dead.iterdir()} == left


@pytest.mark.parametrize("action", ["drop", "replay"])
@pytest.mark.parametrize("words", [(), (BATCH, "--all")])
def test_what_to_drop_or_replay_must_be_said_in_one_way(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path, action: str, words: tuple[str, ...]
) -> None:
    config = write_config(tmp_path / "example.ini", spool, "127.0.0.1:1")
    done = eventpub("dead-letters", action, *place(config), *words)
    assert done.code == 64
    assert "in one way: ID…, --all or" in done.err


def test_what_to_show_must_be_said(eventpub: Command, spool: SpoolFolder) -> None:
    done = eventpub("dead-letters", "show", "--spool", spool.directory)
    assert (done.code, done.out) == (64, "")
    assert "say which dead letters: ID…" in done.err


# --- replay ----------------------------------------------------------------------------------------------


def test_replay_delivers_and_removes(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events = fill(spool, 5)
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done == (0, "accepted 5, stayed 0\n", "")
    assert stored(collector) == events
    assert list(spool.dead.iterdir()) == []
    assert len(collector.requests()) == 1


def test_replay_of_some(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 3)
    spool.letter(b'{"n":"large"}', batch_id=OTHER, reason="too_large")
    assert eventpub("dead-letters", "replay", *place(config), f"{BATCH}-1").code == 0
    assert eventpub("dead-letters", "replay", *place(config), "--reason", "too_large").code == 0
    assert stored(collector) == [{"n": "large"}, {"n": 1}]
    assert len(list(spool.dead.iterdir())) == 2


def test_dry_run_sends_and_changes_nothing(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 3)
    before = spool.files()
    done = eventpub("dead-letters", "replay", *place(config), "--all", "--dry-run")
    assert done == (0, f"would send 3 events in 1 batch to {collector.url}/v2j, would keep 0\n", "")
    assert spool.files() == before
    assert collector.requests() == []


def test_replay_sends_batches_of_bounded_size(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "small.ini", spool, collector.hostname, batch_max_size="110 KiB")
    for index in range(10):
        spool.letter(b'{"n":%d,"pad":"%s"}' % (index, b"x" * 30_000), batch_id=BATCH, index=index)
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert len(collector.requests()) == 4
    assert len(stored(collector)) == 10


def test_replay_signs_with_the_key_of_today(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(base64.b64encode(OLD).decode())
    config = write_config(
        tmp_path / "a.ini", spool, collector.hostname, key_secret="", key_secret_file=str(secret)
    )
    events = fill(spool, 2)
    refused = eventpub("dead-letters", "replay", *place(config), "--all")
    assert refused.code == 2
    assert "rejects this key: check key.name, key.secret and key.signature" in refused.err
    assert len(list(spool.dead.glob("*.json"))) == 2
    secret.write_text(base64.b64encode(NEW).decode())
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == events


@pytest.mark.parametrize("fault", [{"accept_then": "close"}, {"half_answer": True}], ids=["lost", "half"])
def test_replay_repeated_after_its_answer_was_lost_is_stored_once(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path, fault: dict[str, Any]
) -> None:
    events = fill(spool, 3)
    collector.set_faults([fault])
    lost = eventpub("dead-letters", "replay", *place(config), "--all")
    assert lost.code == 2
    assert "then repeat the replay: what the collector has already is recognised" in lost.err
    spool.letter(b'{"n":"new"}', batch_id="0" * 32)  # sorts before the others, and would be in their batch
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == [{"n": "new"}, *events]
    assert list(spool.dead.iterdir()) == []


def test_replay_of_one_letter_finishes_what_was_interrupted_first(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events = fill(spool, 3)
    collector.set_faults([{"accept_then": "close"}])
    eventpub("dead-letters", "replay", *place(config), "--all")
    assert eventpub("dead-letters", "replay", *place(config), f"{BATCH}-1").code == 0
    assert stored(collector) == events
    assert list(spool.dead.iterdir()) == []


def test_replay_killed_at_any_change_of_the_disk_is_finished_by_the_next(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events: list[dict[str, str]] = []

    def replay(disk: KillingDisk) -> None:
        options = argparse.Namespace(spool=None, config_file=str(config), queue_name=QUEUE)
        run_replay(locate_spool(options), letters.find_letters(spool.queue)[0], dry_run=False, disk=disk)

    for step in itertools.count(1):
        for index in range(3):
            event = {"s": f"{step:02}-{index}"}
            spool.letter(json.dumps(event).encode(), batch_id=f"{step:032x}", index=index)
            events.append(event)
        killed = killed_in_a_child(lambda step=step: replay(KillingDisk(step)))
        assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
        assert list(spool.dead.iterdir()) == []
        if not killed:
            break
    assert step > 8
    assert stored(collector) == sorted(events, key=str)


def test_letters_of_an_interrupted_replay_are_dropped_together_or_not_at_all(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 3)
    collector.set_faults([{"accept_then": "close"}])
    eventpub("dead-letters", "replay", *place(config), "--all")
    one = eventpub("dead-letters", "drop", *place(config), f"{BATCH}-1", "--yes")
    assert (one.code, one.out) == (1, "dropped 0\n")
    assert f"finish it, `eventpub dead-letters replay --queue-name {QUEUE} {config} --all`" in one.err
    assert eventpub("dead-letters", "drop", *place(config), "--all", "--yes").out == "dropped 3\n"
    assert list(spool.dead.iterdir()) == []


def test_an_event_that_was_mended_by_hand_is_another_event(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 1)
    collector.set_faults([{"accept_then": "close"}])
    eventpub("dead-letters", "replay", *place(config), "--all")
    spool.letter(b'{"n":"mended"}', batch_id=BATCH)
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 0
    assert "were removed or changed by hand" in done.err
    assert {"n": "mended"} in stored(collector)


def test_refused_events_stay_with_the_new_reason_and_the_rest_goes(
    eventpub: Command, spool: SpoolFolder, config: Path
) -> None:
    fill(spool, 3)
    bad = spool.letter(
        b'{"n":"\\ud800"}',
        batch_id=BATCH,
        index=3,
        reason="too_large",
        status=413,
        died_at="2020-02-02T00:00:00Z",
    )
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 1
    assert done.out.endswith("accepted 3, stayed 1\n")
    assert "stays: 0123456789ab-3 rejected 422: a text holds half of a surrogate pair" in done.out
    letter = json.loads(bad.read_bytes())
    assert (letter["reason"], letter["status"], letter["attempts"]) == ("rejected", 422, 2)
    assert letter["event"] == '{"n":"\\ud800"}'
    assert letter["died_at"] == "2020-02-02T00:00:00Z", (
        "when it died is no matter of how often it is sent again"
    )
    assert letter["refused_at"] > "2026"
    (listed,) = eventpub("dead-letters", "list", *place(config), "--json").out.splitlines()
    assert json.loads(listed)["refused_at"] == letter["refused_at"]
    assert [path.name for path in spool.dead.iterdir()] == [bad.name]


def test_bad_event_among_many_is_found_where_the_answer_does_not_name_it(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 4)
    collector.set_faults([{"status": 400, "times": 3}])  # 0-3, 0-1, and 0
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert (done.code, [path.name[-7:-5] for path in spool.dead.iterdir()]) == (1, ["00"])
    assert stored(collector) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_event_too_large_for_the_collector_stays_alone(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 2)
    collector.set_faults([{"status": 413, "times": 2}])
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 1
    assert "too_large 413" in done.out
    assert stored(collector) == [{"n": 1}]


def test_a_coding_that_the_collector_refuses_is_not_used_again(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events = fill(spool, 2)
    collector.set_faults([{"status": 415}])
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == events


def test_a_message_that_is_no_event_is_never_sent(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    spool.letter(b'{"n":1},{"n":2}', batch_id=OTHER, reason="malformed", status=None)
    events = fill(spool, 1)
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 1
    assert "stays: fedcba987654-0 it is not one JSON object" in done.out
    assert stored(collector) == events


def test_replay_without_a_collector_keeps_everything(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path
) -> None:
    fill(spool, 2)
    config = write_config(tmp_path / "example.ini", spool, "127.0.0.1:1")
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert (done.code, done.out) == (2, "accepted 0, stayed 0\n")
    assert "http://127.0.0.1:1/v2j gave no answer (refused)" in done.err
    kept = letters.find_letters(spool.queue)[0]
    assert len(kept) == 2
    dropped = eventpub("dead-letters", "drop", *place(config), kept[0].id, "--yes")  # it is tied to no other
    assert (dropped.code, dropped.out) == (0, "dropped 1\n")


@pytest.mark.parametrize(
    "answer", [(503, "try again later"), (404, "the reply did not come from an eventpub collector")]
)
def test_replay_stops_at_an_answer_that_is_no_verdict(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path, answer: tuple[int, str]
) -> None:
    status, remedy = answer
    fill(spool, 2)
    collector.set_faults([{"status": status, "times": "forever"}])
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert (done.code, len(collector.requests())) == (2, 1)
    assert f"answered {status}" in done.err
    assert remedy in done.err


def test_replay_needs_the_configuration(eventpub: Command, spool: SpoolFolder) -> None:
    done = eventpub("dead-letters", "replay", "--spool", spool.directory, "--all")
    assert done.code == 64
    assert "needs the CONFIG.ini that names collector and key" in done.err


def test_two_replays_do_not_run_at_once(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 1)
    with letters.lock_letters(spool.queue):
        for words in (("replay", *place(config), "--all"), ("drop", *place(config), "--all", "--yes")):
            done = eventpub("dead-letters", *words)
            assert done.code == 2
            assert "another replay or drop is at work" in done.err
    assert collector.requests() == []


def test_what_would_block_within_a_replay_is_told_as_what_it_is(spool: SpoolFolder) -> None:
    fill(spool, 1)
    with pytest.raises(BlockingIOError), letters.lock_letters(spool.queue):
        raise BlockingIOError
    with letters.lock_letters(spool.queue):
        pass


def test_progress_is_shown_on_a_terminal_only(spool: SpoolFolder, config: Path) -> None:
    fill(spool, 2)
    reader, writer = os.openpty()
    command = [sys.executable, "-m", "eventpub", "dead-letters", "replay", *map(str, place(config)), "--all"]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=writer, check=True)
    assert b"accepted 2, stayed 0, of 2" in os.read(reader, 4096)
    os.close(reader)
    os.close(writer)


# --- beside a sidecar ------------------------------------------------------------------------------------


@pytest.fixture
def sidecar(
    nursery: Nursery, tmp_path: Path, queue_name: str, collector: CollectorProcess
) -> Iterator[SidecarProcess]:
    secret = base64.b64encode(NEW).decode()
    running = NurserySidecar(
        nursery, tmp_path, queue_name, collector.port, collector_version="2j", key_secret=secret
    )
    yield running
    running.kill()


def put(sidecar: SidecarProcess, *messages: bytes) -> None:
    with MessageQueue.open(sidecar.queue_name) as queue:
        for message in messages:
            wait_until(lambda m=message: queue.send(m), "the queue has room")


def test_what_a_sidecar_buried_is_replayed_beside_it_under_a_new_key(
    eventpub: Command, sidecar: SidecarProcess, collector: CollectorProcess, nursery: Nursery, tmp_path: Path
) -> None:
    collector.set_faults([{"status": 422, "times": "forever"}])
    put(sidecar, b'{"n":1}')
    wait_until(sidecar.dead_letters, "it is buried")
    (tmp_path / "rotated").mkdir()
    with CollectorProcess(tmp_path / "rotated", keys={"test": OLD}, nursery=nursery) as rotated:
        sidecar.configure(
            collector_hostname=rotated.hostname, key_secret=base64.b64encode(OLD).decode()
        )  # the process itself goes on with the other key
        done = eventpub("dead-letters", "replay", "--queue-name", sidecar.queue_name, sidecar.config, "--all")
        assert done == (0, "accepted 1, stayed 0\n", "")
        assert stored(rotated) == [{"n": 1}]
    assert sidecar.dead_letters() == []


def test_dead_letters_survive_restarts_of_the_sidecar(eventpub: Command, sidecar: SidecarProcess) -> None:
    put(sidecar, b"garbage")
    wait_until(sidecar.dead_letters, "it is buried")
    words = ("dead-letters", "list", "--queue-name", sidecar.queue_name, sidecar.config, "--json")
    before = eventpub(*words).out
    sidecar.stop()
    sidecar.start()
    sidecar.kill()
    sidecar.start()
    assert eventpub(*words).out == before != ""


@pytest.mark.parametrize("action", ["drop", "replay"])
def test_room_made_by_hand_is_seen_by_a_running_sidecar(
    eventpub: Command, sidecar: SidecarProcess, action: str
) -> None:
    sidecar.stop()
    sidecar.config.write_text(sidecar.config.read_text() + "dead_letters.max_size = 1 MiB\n")
    dead = sidecar.spool / sidecar.queue_name / "dead"
    full = SpoolFolder(sidecar.spool.parent / "template")
    for index in range(11):
        letter = full.letter(b'{"pad":"%s"}' % (b"x" * 95_200), batch_id=BATCH, index=index)
        letter.rename(dead / letter.name)
    sidecar.start()
    put(sidecar, b"garbage 1" * 50)
    wait_until(lambda: "events were dropped events=1 reason=dead_letters_full" in sidecar.log(), "it is full")
    words = ("--yes",) if action == "drop" else ()
    done = eventpub(
        "dead-letters", action, "--queue-name", sidecar.queue_name, sidecar.config, f"{BATCH}-1", *words
    )
    assert done.code == 0, done
    put(sidecar, b"garbage 2" * 50)
    wait_until(lambda: any(BATCH not in path.name for path in sidecar.dead_letters()), "there is room again")
    assert sidecar.stop() == 0
    ledger = sidecar.ledger()
    assert (ledger["dead"], ledger["dropped"], ledger["unaccounted"]) == (1, 1, 0)
