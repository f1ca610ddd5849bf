"""Every state that an operator meets, and what each view says of it: a real sidecar, and a real collector."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.commands import Command
from support.nursery import Nursery, NurserySidecar
from support.rigs import numbered
from support.sidecar_process import SECRET
from support.terminal import run_in_terminal
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.status.ask import connect_slot

UUID = "11111111-2222-4333-8444-555555555555"
EVENT = b'{"uuid":"%s"}' % UUID.encode()


@dataclass
class Host:
    """A queue, its sidecar and its collector."""

    eventpub: Command
    collector: CollectorProcess
    queue: MessageQueue
    sidecar: NurserySidecar
    switch: Path
    start: Callable[..., NurserySidecar]

    def put(self, *messages: bytes) -> None:
        for message in messages:
            wait_until(lambda m=message: self.queue.send(m), "the queue has room")

    def view(self, command: str) -> tuple[int, str]:
        words = (*command.split(), "--queue-name", self.queue.name, self.sidecar.config)
        done = self.eventpub(*words, *(("--store", self.collector.store_path) if "where" in words else ()))
        return done.code, done.out

    def status(self) -> tuple[int, str]:
        return self.view("status")

    def expect(self, command: str, code: int | None, words: str) -> str:
        """Ask until a view says it, for it may say something else between two attempts; return all it says."""
        for _ in range(200):
            said, text = self.view(command)
            if re.search(words, text, re.DOTALL | re.MULTILINE):
                assert code in (None, said), text
                return text
            time.sleep(0.1)
        raise AssertionError(f"{command} never says {words!r}: {text}")

    def report(self) -> dict[str, Any]:
        done = self.eventpub("status", "--queue-name", self.queue.name, self.sidecar.config, "--json")
        return {**json.loads(done.out), "code": done.code}

    def ask(self, path: str) -> tuple[int, str]:
        with contextlib.closing(connect_slot(self.sidecar.spool / self.queue.name / "0", 20)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


def make_well(host: Host) -> None:
    host.put(*numbered(2), EVENT)
    wait_until(lambda: len(host.collector.events()) == 3, "they are stored")


def make_down(host: Host) -> None:
    host.collector.stop()
    host.put(*numbered(2), EVENT)


def make_refused(host: Host) -> None:
    host.sidecar.configure(key_secret="d3Jvbmc=")
    host.sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in host.sidecar.log(), "it has the wrong key")
    host.put(*numbered(2), EVENT)


def make_key_lost(host: Host) -> None:
    file = host.sidecar.config.with_suffix(".key")
    file.write_text(SECRET)
    host.sidecar.configure(key_secret="", key_secret_file=str(file))
    host.sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in host.sidecar.log(), "it reads the file")
    file.unlink()
    host.put(*numbered(2), EVENT)


def make_spool_full(host: Host) -> None:
    host.collector.stop()
    host.put(EVENT)
    filler = b'{"name":"%s"}' % (b"x" * 8000)
    while host.ask("/readyz")[0] == 200 or "paused" not in host.ask("/readyz")[1]:
        for _ in range(50):
            host.queue.send(filler)


def make_disk_full(host: Host) -> None:
    def pauses() -> bool:
        host.queue.send(*numbered(1))  # its open batch has room for some
        return "paused" in host.ask("/readyz")[1]

    host.switch.write_text(str(errno.ENOSPC))
    wait_until(pauses, "it meets the disk")
    host.queue.send(EVENT)  # or the queue is full, and put refuses it


def make_poison(host: Host) -> None:
    host.put(*numbered(2), b'{"uuid":"%s' % UUID.encode(), *numbered(2, 2))
    wait_until(lambda: len(host.collector.events()) == 4, "the good ones are stored")


def make_stopped(host: Host) -> None:
    host.collector.stop()
    host.put(EVENT)
    wait_until(host.sidecar.batches, "it is sealed")
    host.sidecar.pause()
    host.put(*numbered(1))  # stays in the queue


def make_killed(host: Host) -> None:
    host.collector.stop()
    host.put(*numbered(2), EVENT)
    wait_until(host.sidecar.batches, "it is sealed")
    host.sidecar.kill()


def make_two(host: Host) -> None:
    host.start("second")
    make_well(host)


STATES = {
    # state: how it is made, exit code, the first line, what else the screen says, /readyz
    "well": (make_well, 0, r"^OK$", r"accepted \d+ s ago.*delivered 3", (200, "ok")),
    "collector down": (
        make_down, 1, r"^DEGRADED: .*: the collector gives no answer \(refused\) for \d+ s; events are kept: ",
        r"next attempt in \d+ s|refused", None,
    ),
    "key refused": (
        make_refused, 2, r"^FAILING: .*: refused, for \d+ s: the collector rejects this key: check key\.name",
        r"last failure \d+ s ago: 401: .*unauthorized", (503, "refused: "),
    ),
    "key lost": (
        make_key_lost, 1, r"^DEGRADED: .*: no batch can be signed for \d+ s; events are kept: .*secret_file",
        r"cannot be read: No such file or directory; write the secret into it", None,
    ),
    "spool full": (
        make_spool_full, 2, r"^FAILING: .*(paused, for|queue is full)",
        r"also: \S+: the collector gives no answer \(refused\).*spool .* of 4 MiB, the oldest",
        (503, "paused: "),
    ),
    "disk full": (
        make_disk_full, 2, r"^FAILING: .*: paused, for \d+ s: .*No space left on device", r"paused for",
        (503, "paused: "),
    ),
    "poison": (
        make_poison, 1, r"^DEGRADED: .*: the collector refused 1 event for good$",
        r"-> see: eventpub dead-letters list.*1 dead letter", (200, "ok"),
    ),
    "stopped": (
        make_stopped, 2, r"^FAILING: .*: the sidecar \d+ hangs: its process is stopped by a signal",
        r"kill -CONT \d+.*slot 0 +hung", None,
    ),
    "killed": (
        make_killed, 2, r"^FAILING: .*: no sidecar runs; 3 events wait for one$",
        r"systemctl start.*slot 0 +dead, no process: .*; 3 events on disk", None,
    ),
    "two sidecars": (make_two, 0, r"^OK$", r"slot 0 +running.*slot 1 +running", (200, "ok")),
}  # fmt: skip

WHERE = {  # of the event with the uuid: exit code, and what is said
    "well": (0, r"^in the collector's store since .*next +nothing: the collector has it"),
    "collector down": (0, r"^in the spool since .*next +posted in \d+ s; the last attempt: .*refused"),
    "key refused": (0, r"^in the spool since .*next +waits: the collector rejects this key: check key\.name"),
    "key lost": (0, r"^in the spool since .*next +posted in \d+ s; the last attempt: .*cannot be read"),
    "spool full": (0, r"^in the spool since .*next +posted in \d+ s; the last attempt: .*refused"),
    "disk full": (1, r"^not found: .*queue \S+: \d+ messages? that only its sidecar can look into"),
    "poison": (1, r"^mentioned in the dead letters since .*refused: malformed.*dead-letters show.*not found"),
    "stopped": (0, r"^in the spool since .*next .* it is hung: its process is stopped by a signal.*kill -CONT"),
    "killed": (0, r"^in the spool since .*next +delivered once a sidecar .* starts, for nobody holds slot 0"),
    "two sidecars": (0, r"^in the collector's store since .*next +nothing: the collector has it"),
}  # fmt: skip
DOCTOR = {
    "well": r"ok +\S+, slot 0: the sidecar \d+ runs",
    "collector down": r"failing +collector: nothing answers at ",
    "key refused": r"failing +\S+, slot 0: refused, for \d+ s: the collector rejects this key",
    "key lost": r"failing +\S+: \[\S+\]: key\.secret_file cannot be read: .*no batch can be signed for",
    "spool full": r"failing +\S+, slot 0: paused, for .*",
    "disk full": r"failing +\S+, slot 0: paused, for .*No space left on device",
    "poison": r"warning +\S+: 1 dead letter.*see: eventpub dead-letters list",
    "stopped": r"failing +\S+, slot 0: the sidecar \d+ hangs: its process is stopped by a signal.*kill -CONT",
    "killed": r"warning +\S+, slot 0: no sidecar holds it, and 3 events in it wait for one.*systemctl start",
    "two sidecars": r"slot 0: the sidecar \d+ runs.*slot 1: the sidecar \d+ runs",
}  # fmt: skip


@pytest.fixture
def host(nursery: Nursery, tmp_path: Path, queue: MessageQueue, capfd: pytest.CaptureFixture[str]) -> Any:
    keys = {"collector_version": "2j", "spool_max_size": "4 MiB", "compression": "none"}
    switch = tmp_path / "switch"
    disk = {"kind": "switched", "switch": str(switch)}
    with CollectorProcess(tmp_path, nursery=nursery) as collector, contextlib.ExitStack() as at_the_end:

        def start(_name: str = "first") -> NurserySidecar:
            sidecar = NurserySidecar(nursery, tmp_path, queue.name, collector.port, disk=disk, **keys)
            at_the_end.callback(sidecar.kill)
            return sidecar

        yield Host(Command(capfd), collector, queue, start(), switch, start)
        switch.unlink(missing_ok=True)


@pytest.mark.parametrize("state", STATES)
def test_every_view_says_what_is_the_case(state: str, host: Host) -> None:
    make, code, first, screen, ready = STATES[state]
    make(host)
    text = host.expect("status", code, first)
    assert re.search(screen, text, re.DOTALL), text
    report = host.report()
    assert (report["verdict"], report["code"]) == ({0: "OK", 1: "DEGRADED", 2: "FAILING"}[code], code)
    (service,) = report["services"]
    assert service["queue"]["name"] == host.queue.name
    assert len(service["slots"]) == (2 if state == "two sidecars" else 1)
    live = host.expect("top --once --interval 200ms", 0, rf"\A{report['verdict']}: .*\n{host.queue.name}/0 ")
    assert ("\n  -> " in live) == (state in {"stopped", "killed", "poison"}), live
    host.expect(f"where {UUID}", *WHERE[state])
    host.expect("doctor", 2 if DOCTOR[state].startswith("failing") else None, DOCTOR[state])
    if ready:
        status, words = host.ask("/readyz")
        assert (status, words[: len(ready[1])]) == ready


def test_what_an_operator_does_about_a_stopped_sidecar_is_in_the_answer(host: Host) -> None:
    host.sidecar.pause()
    _, text = host.status()
    command = re.search(r"kill -CONT (\d+)", text)
    assert command
    assert int(command[1]) == host.sidecar.process.pid
    host.sidecar.signal(signal.SIGCONT)
    wait_until(lambda: host.status()[1].startswith("OK\n"), "it goes on")


def test_a_sidecar_whose_disk_hangs_is_told_as_frozen(
    nursery: Nursery, tmp_path: Path, queue: MessageQueue, capfd: pytest.CaptureFixture[str]
) -> None:
    switch = tmp_path / "switch"
    disk = {"kind": "hanging", "switch": str(switch)}
    sidecar = NurserySidecar(
        nursery, tmp_path, queue.name, 9, disk=disk, collector_version="2j", watchdog_timeout="12 s"
    )
    try:
        switch.write_text("create reserve sync rename")
        queue.send(b'{"n":1}')
        status = Command(capfd)
        wait_until(
            lambda: re.search(
                r"^FAILING: .*frozen, for \d+ s: the stage \w+ hangs: ",
                status("status", "--queue-name", queue.name, sidecar.config).out,
            ),
            "it is told",
        )
    finally:
        sidecar.kill()


def test_without_a_file_it_finds_what_runs(host: Host) -> None:
    done = host.eventpub("status", "--json")
    found = {service["queue"]["name"]: service for service in json.loads(done.out)["services"]}
    (slot,) = found[host.queue.name]["slots"]
    assert (slot["asked"]["condition"], slot["asked"]["pid"]) == ("running", host.sidecar.process.pid)
    assert slot["asked"]["record"]["queue"]["capacity_messages"] == 10


def test_only_a_terminal_gets_colours_and_none_with_no_color_and_80_columns_are_kept(host: Host) -> None:
    make_down(host)
    words = ("status", "--queue-name", host.queue.name, host.sidecar.config)
    wait_until(lambda: host.status()[0] == 1, "it fails")
    assert "\x1b" not in host.status()[1]
    plain = run_in_terminal(*words, env={"COLUMNS": "80"})
    assert "\x1b" not in plain.screen
    assert max(map(len, plain.screen.splitlines())) <= 80
    assert "\x1b[33mDEGRADED:\x1b[0m" in run_in_terminal(*words, env={"NO_COLOR": ""}).screen
