"""One publisher process between a producer and a sink, measured over a steady window."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import posix_ipc

from benchmarks.load import Harvest, Producer, Sink, Tally
from benchmarks.machine import (
    MEASURED_CORE,
    ROOT,
    core_busy_seconds,
    cpu_seconds,
    has_open,
    peak_mb,
    pinned,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SPOOL_PARENT = Path("/var/tmp")  # unlike /tmp, never memory
WARM_UP_SECONDS = 1.5  # the first batches, connections and page faults

_STOP_SECONDS = 20.0  # four times shutdown.timeout


@dataclass(frozen=True, slots=True)
class Publisher:
    """A program that publishes a queue, and what the collector offers it.

    Attributes:
        command: the program's command line as far as `--queue-name`.
        accept_encoding: what the sink's answers say.
    """

    command: tuple[str, ...]
    accept_encoding: str = ""


@dataclass(frozen=True, slots=True)
class QueueShape:
    """A queue, and the producer's manners that go with it.

    Attributes:
        burst_seconds: between two bursts of a steady producer.
        refused_seconds: for how long a producer without a rate leaves a full queue alone.
    """

    max_messages: int
    max_message_size: int
    burst_seconds: float
    refused_seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured: `peak_mb`, `total` and `harvest` from start to end, the rest within the window."""

    seconds: float
    cpu_seconds: float
    core_busy_seconds: float
    accepted: int
    refused: int
    peak_mb: float
    total: Tally
    harvest: Harvest

    @property
    def cpu_us_per_event(self) -> float:
        """CPU time for each event that the publisher took from the queue."""
        return self.cpu_seconds / self.accepted * 1e6

    @property
    def events_per_second(self) -> float:
        """Events that the publisher took from the queue."""
        return self.accepted / self.seconds

    @property
    def refused_percent(self) -> float:
        """Of the events offered."""
        return 100 * self.refused / (self.accepted + self.refused)

    @property
    def others_percent(self) -> float:
        """How much of the publisher's core the kernel and other processes used, as far as clock ticks tell."""
        return max(0.0, 100 * (self.core_busy_seconds - self.cpu_seconds) / self.seconds)

    @property
    def lost(self) -> int:
        """Events that the queue took and the sink never got."""
        return self.total.accepted - self.harvest.different_events

    @property
    def repeated(self) -> int:
        """Events that the sink got more than once."""
        return self.harvest.events - self.harvest.different_events

    def __str__(self) -> str:
        return (
            f"{self.cpu_us_per_event:.2f} us/event, {self.events_per_second:,.0f} events/s, "
            f"{self.refused_percent:.1f} % refused, {self.peak_mb:.1f} MB, "
            f"{self.harvest.requests} requests, {self.harvest.body_bytes:,} bytes, "
            f"lost {self.lost}, repeated {self.repeated}, others on the core {self.others_percent:.0f} %"
        )


def measure(
    publisher: Publisher, shape: QueueShape, *, events_per_second: int | None, window_seconds: float
) -> Run:
    """Run a publisher on a new queue, and stop it as a supervisor does.

    Args:
        publisher: what to run.
        shape: the queue.
        events_per_second: what to offer; None for as much as the queue takes.
        window_seconds: how long to measure, after warming up.

    Raises:
        TimeoutError: the publisher did not start.
    """
    queue = f"bench{os.getpid()}"
    with _queue(f"/events-{queue}", shape), tempfile.TemporaryDirectory(dir=SPOOL_PARENT) as folder:
        sink = Sink(publisher.accept_encoding)
        with _process(publisher, queue, Path(folder), sink.port) as pid:
            pause = shape.refused_seconds if events_per_second is None else shape.burst_seconds
            producer = Producer(f"/events-{queue}", events_per_second, pause)
            time.sleep(WARM_UP_SECONDS)
            started, before = time.monotonic(), producer.tally()
            cpu_before, core_before = cpu_seconds(pid), core_busy_seconds(MEASURED_CORE)
            time.sleep(window_seconds)
            ended, after = time.monotonic(), producer.tally()
            cpu_after, core_after = cpu_seconds(pid), core_busy_seconds(MEASURED_CORE)
            total = producer.stop()
            peak = peak_mb(pid)
        return Run(
            seconds=ended - started,
            cpu_seconds=cpu_after - cpu_before,
            core_busy_seconds=core_after - core_before,
            accepted=after.accepted - before.accepted,
            refused=after.refused - before.refused,
            peak_mb=peak,
            total=total,
            harvest=sink.harvest(),
        )


@contextlib.contextmanager
def _queue(name: str, shape: QueueShape) -> Iterator[None]:
    queue = posix_ipc.MessageQueue(
        name,
        posix_ipc.O_CREX,
        max_messages=shape.max_messages,
        max_message_size=shape.max_message_size,
    )
    try:
        yield
    finally:
        queue.close()
        queue.unlink()


@contextlib.contextmanager
def _process(publisher: Publisher, queue: str, folder: Path, port: int) -> Iterator[int]:
    """Run the publisher on its core, from the moment it has the queue open."""
    ini = folder / "bench.ini"
    ini.write_text(
        f"[event-publisher:{queue}]\n"
        f"collector.hostname = 127.0.0.1:{port}\n"
        "collector.scheme = http\n"
        "key.name = bench\n"
        "key.secret = aHVudGVyMg==\n"
        f"spool.dir = {folder}/spool\n"
        "spool.fsync = seal\n"
    )
    log = folder / "log"
    with pinned(MEASURED_CORE), log.open("wb") as output:
        command = (*publisher.command, "--queue-name", queue, str(ini))
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)
    try:
        try:
            wait_until(lambda: has_open(process.pid, f"/events-{queue}"), f"{publisher.command} starts")
        except (TimeoutError, OSError) as error:
            raise RuntimeError(f"{publisher.command} does not start: {log.read_text()}") from error
        yield process.pid
        process.terminate()
        process.wait(_STOP_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
