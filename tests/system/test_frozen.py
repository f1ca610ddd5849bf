"""A stage that hangs is told while the loop still turns, and ends the process; the next one loses nothing."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.rigs import numbered, put, stop_and_check, wait_stored
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub.cli.exit_codes import EXIT_FROZEN
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.status.ask import Condition, ask_slot, connect_slot


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    return tmp_path / "hanging"


@pytest.fixture
def sidecar(
    nursery: Nursery, tmp_path: Path, queue_name: str, collector: CollectorProcess, switch: Path
) -> Iterator[NurserySidecar]:
    running = NurserySidecar(
        nursery, tmp_path, queue_name, collector.port,
        disk={"kind": "hanging", "switch": str(switch)}, collector_version="2j", watchdog_timeout="4 s",
    )  # fmt: skip
    yield running
    running.kill()


def slot_of(sidecar: SidecarProcess) -> Path:
    return sidecar.spool / sidecar.queue_name / "0"


def probe(sidecar: SidecarProcess, path: str) -> tuple[int, str]:
    """Return status and text of a probe; 0 where nobody answers, or ends while it does."""
    gone = contextlib.suppress(OSError, http.client.HTTPException)
    with gone, contextlib.closing(connect_slot(slot_of(sidecar), 1.0)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    return 0, ""


def test_a_thread_that_hangs_on_the_disk_is_told_and_ends_the_process(
    sidecar: NurserySidecar, collector: CollectorProcess, switch: Path
) -> None:
    switch.write_text("sync")
    with MessageQueue.open(sidecar.queue_name) as queue:
        put(queue, numbered(3))
        seen = set()

        def has_ended() -> bool:
            seen.update((path, *probe(sidecar, path)) for path in ("/livez", "/readyz"))
            return sidecar.process.poll() is not None

        wait_until(has_ended, "the watchdog ends it")
        assert sidecar.process.wait() == EXIT_FROZEN
        assert "the stage seal is frozen: it has been sealing a batch for" in sidecar.log()
        told = {path for path, status, text in seen if status == 503 and "frozen: the stage seal hangs" in text}
        assert told == {"/livez", "/readyz"}
        switch.unlink()
        sidecar.start()
        wait_stored(collector, range(3))
    assert sidecar.stop() == 0


def test_a_hub_that_hangs_answers_nobody_and_is_ended(
    sidecar: NurserySidecar, collector: CollectorProcess, switch: Path
) -> None:
    switch.write_text("remove")  # of a batch that was delivered, which the hub does
    with MessageQueue.open(sidecar.queue_name) as queue:
        put(queue, numbered(1))
        asked = wait_until(
            lambda: (a := ask_slot(slot_of(sidecar), seconds=0.3)).condition is not Condition.RUNNING and a,
            "it does not answer",
        )
        assert asked.condition in (Condition.HUNG, Condition.DEAD)  # by now
        assert sidecar.process.wait() == EXIT_FROZEN
        assert "is frozen" in sidecar.log()
        switch.unlink()
        sidecar.start()
        wait_until(lambda: not sidecar.batches(), "it is removed")
        wait_stored(collector, range(1))
    assert sidecar.stop() == 0


def test_a_process_that_was_stopped_for_longer_goes_on(
    nursery: Nursery, tmp_path: Path, queue_name: str, collector: CollectorProcess
) -> None:
    running = NurserySidecar(
        nursery, tmp_path, queue_name, collector.port, collector_version="2j", watchdog_timeout="1 s"
    )
    try:
        running.pause()
        stopped_at = time.monotonic()
        wait_until(lambda: time.monotonic() - stopped_at > 1.5, "the time of the watchdog is over")
        running.signal(signal.SIGCONT)
        with MessageQueue.open(queue_name) as queue:
            put(queue, numbered(1))
            wait_stored(collector, range(1))
        stop_and_check(running, 1)
    finally:
        running.kill()


class ManagedSidecar(SidecarProcess):
    """A sidecar that a service manager has started."""

    def launch(self, *arguments: str) -> None:
        self._environment = {
            "NOTIFY_SOCKET": str(self.config.with_name("notify")), "WATCHDOG_USEC": "1000000",
        }  # fmt: skip
        super().launch(*arguments)


def test_the_service_manager_hears_of_every_step(
    tmp_path: Path, queue_name: str, collector: CollectorProcess
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        heard: list[str] = []

        def hear(line: str) -> bool:
            while not any(words.startswith(line) for words in heard):
                heard.extend(manager.recv(4096).decode().split("\n"))
            return True

        running = ManagedSidecar(
            tmp_path, queue_name, collector.port, collector_version="2j", shutdown_timeout="100 ms"
        )
        try:
            assert hear("READY=1")
            assert hear("WATCHDOG=1")
            assert hear("STATUS=running, delivered 0, spooled 0, queue 0 of 10")
            assert not any(line.startswith(("RELOADING", "STOPPING")) for line in heard)
            heard.clear()
            os.kill(running.process.pid, signal.SIGHUP)
            assert hear("RELOADING=1")
            assert hear("MONOTONIC_USEC=")
            assert hear("READY=1")
            collector.stop()
            with MessageQueue.open(queue_name) as queue:
                put(queue, numbered(1))
            assert hear("STATUS=running, delivered 0, spooled 1")
            assert running.stop() == 0
            assert hear("STOPPING=1")
        finally:
            running.kill()
