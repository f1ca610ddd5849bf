"""`eventpub spool status`."""

from __future__ import annotations

import json
import subprocess
import sys

from support.commands import EVENTS, Command, SpoolFolder
from support.paths import ROOT
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.spool.slot import take_slot


def test_status_shows_what_waits_and_who_works_there(eventpub: Command, sidecar: SidecarProcess) -> None:
    words = ("spool", "status", "--queue-name", sidecar.queue_name, sidecar.config)
    running = eventpub(*words)
    assert running.code == 0
    row = running.out.splitlines()[2].split("  ")
    cells = [cell.strip() for cell in row if cell.strip()]
    assert cells[:3] == [sidecar.queue_name, "0", f"pid {sidecar.process.pid}"]
    sidecar.stop()
    stopped = json.loads(eventpub(*words, "--json").out)
    (queue,) = stopped["queues"]
    (slot,) = queue["slots"]
    assert stopped["free_bytes"] > 0
    assert (slot["owner"], slot["events"], slot["open"], slot["splits"]) == ("", 3, 0, 0)
    assert slot["bytes"] == sum(path.stat().st_size for path in sidecar.batches())
    assert 0 < slot["oldest_seconds"] < 60
    assert "the batches of slot 0 are delivered once a sidecar of the queue starts" in eventpub(*words).out


def test_status_counts_letters_copies_files_left_open_and_splits(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b"{}", batch_id="a" * 32)
    spool.batch(1, EVENTS, suffix=".open")
    (spool.slot(0) / "000000000002.split").mkdir()
    (spool.damaged / "copy").write_bytes(b"copy")
    (spool.queue / "repaired" / "TIME" / "0").mkdir(parents=True)
    (spool.queue / "repaired" / "TIME" / "0" / "backup").write_bytes(b"backup")
    done = eventpub("spool", "status", "--spool", spool.directory, "--json")
    (queue,) = json.loads(done.out)["queues"]
    assert (queue["dead_letters"], queue["damaged_copies"]) == (1, 1)
    assert (queue["backups"], queue["copy_bytes"]) == (1, len(b"copy" + b"backup"))
    assert (queue["slots"][0]["open"], queue["slots"][0]["splits"]) == (1, 1)
    plain = eventpub("spool", "status", "--spool", spool.directory).out
    assert f"eventpub dead-letters list --spool {spool.directory}" in plain
    assert "\x1b" not in plain


def test_status_counts_events_that_a_killed_sidecar_left_in_open_batches_and_in_parts(
    eventpub: Command, spool: SpoolFolder
) -> None:
    def slot() -> dict[str, object]:
        (queue,) = json.loads(eventpub("spool", "status", "--spool", spool.directory, "--json").out)["queues"]
        return queue["slots"][0]

    spool.batch(1, EVENTS, suffix=".open")
    spool.batch(9, [], suffix=".open")  # a spare one
    assert (slot()["events"], slot()["open"], slot()["batches"]) == (5, 2, 0)
    assert slot()["oldest_seconds"] is not None
    spool.batch(2, EVENTS)
    split = spool.slot(0) / "000000000002.split"
    split.mkdir()
    spool.batch(3, EVENTS[:4]).rename(split / "000000000003.4.batch")  # the fifth is a dead letter
    assert (slot()["events"], slot()["batches"], slot()["splits"]) == (9, 1, 1)


def test_status_of_a_killed_sidecar_counts_what_it_had_received(
    eventpub: Command, sidecar: SidecarProcess
) -> None:
    sidecar.configure(batch_max_age="1 h")
    sidecar.stop()
    sidecar.start()
    with MessageQueue.open(sidecar.queue_name) as queue:
        for event in EVENTS[3:]:
            assert queue.send(event)
        wait_until(lambda: queue.depth() == 0, "they are received")
    sidecar.kill()
    words = ("spool", "status", "--queue-name", sidecar.queue_name, sidecar.config, "--json")
    (queue_,) = json.loads(eventpub(*words).out)["queues"]
    assert queue_["slots"][0]["events"] == len(EVENTS)


def test_looking_at_a_slot_keeps_no_sidecar_from_taking_it(spool: SpoolFolder) -> None:
    program = f"""
from eventpub.sidecar.spool.slot import is_owned
from pathlib import Path
print("ready", flush=True)
while True:
    is_owned(Path({str(spool.slot(0))!r}))
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        try:
            for _ in range(300):
                slot = take_slot(spool.slot(0))
                assert slot is not None
                slot.release()
        finally:
            looking.kill()
