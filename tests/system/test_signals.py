"""Signals at any time: during the start, in the time of grace, at the end."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.rigs import Run, numbered, put, stored
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue

SIGHUP_BIT = 1 << (signal.SIGHUP - 1)


def handles_hangup(pid: int) -> bool:
    """Tell whether a process has said what it does at SIGHUP; before its first line it could not."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigIgn:", "SigCgt:"))]
    return any(mask & SIGHUP_BIT for mask in masks)


def test_hangups_during_the_start_do_not_end_it(
    queue: MessageQueue, tmp_path: Path, collector: CollectorProcess
) -> None:
    sidecar = SidecarProcess(tmp_path, queue.name.removeprefix("/events-"), collector.port)
    try:
        assert sidecar.stop() == 0
        sidecar.launch()
        wait_until(lambda: handles_hangup(sidecar.process.pid), "its first line has run")
        while "started queue=" not in sidecar.log():
            assert sidecar.process.poll() is None, sidecar.log()
            sidecar.signal(signal.SIGHUP)
            time.sleep(0.002)
        assert sidecar.stop() == 0
    finally:
        sidecar.kill()


def test_file_that_changes_during_the_start_is_read(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    """A hangup that arrives between the first reading of the file and the first event counts."""
    sidecar = run(collector_hostname="127.0.0.1:9")
    assert sidecar.stop() == 0
    sidecar.launch()
    wait_until(lambda: handles_hangup(sidecar.process.pid), "its first line has run")
    sidecar.configure(collector_hostname=collector.hostname)
    while "reloaded" not in sidecar.log():
        assert sidecar.process.poll() is None, sidecar.log()
        sidecar.signal(signal.SIGHUP)
        time.sleep(0.01)
    put(queue, numbered(1))
    wait_until(lambda: stored(collector) == [0], "it is delivered")


def test_stopping_sidecar_receives_for_the_time_of_grace(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    """Pods stop all their processes at once; what the application puts last must not stay in the queue."""
    sidecar = run(shutdown_grace="2 s", batch_max_age="20 ms")
    put(queue, numbered(1))
    wait_until(lambda: stored(collector) == [0], "it is delivered")
    sidecar.signal(signal.SIGTERM)
    wait_until(lambda: "receiving goes on for 2 seconds" in sidecar.log(), "it says that it will stop")
    put(queue, numbered(30, 1))  # three times what the queue holds
    wait_until(lambda: stored(collector) == [*range(31)], "they are delivered meanwhile")
    assert sidecar.process.poll() is None
    put(queue, numbered(5, 31))
    assert sidecar.process.wait(20) == 0
    assert stored(collector) == [*range(36)]
    assert sidecar.ledger()["unaccounted"] == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_cuts_the_time_of_grace_short(
    second: signal.Signals, run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    sidecar = run(shutdown_grace="1 h")
    put(queue, numbered(1))
    wait_until(sidecar.batches, "it is spooled")
    sidecar.signal(signal.SIGTERM)
    wait_until(lambda: "receiving goes on for" in sidecar.log(), "it says that it will stop")
    sidecar.signal(signal.SIGHUP)
    sidecar.signal(second)
    assert sidecar.process.wait(20) == 128 + second
    assert len(sidecar.batches()) == 1
    collector.set_faults([])
    sidecar.start()
    wait_until(lambda: stored(collector) == [0], "the next start delivers it")
