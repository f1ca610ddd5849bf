"""A whole sidecar killed at each named point of its work, again while it recovers, and at random instants.

The oracle is the test itself: it knows each event that the queue accepted. After the last restart every one is
stored or, if it is the one that the collector refuses, a dead letter; once, unaltered, and nothing else is.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import mmap
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.oracle import Oracle
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.receive.loop import Loop, compiled_loop
from eventpub.sidecar.receive.loop_python import PythonLoop
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import OpenBatch
from eventpub.sidecar.spool.disk import Disk
from eventpub.sidecar.spool.folder import Folder

KEYS = {"collector_version": "2j", "max_message_size": "1024", "batch_max_age": "20 ms", "retry_max": "100 ms"}
SETTLE_SECONDS = 0.4  # a killed disk's point may never be reached again: how long is waited for it


class CrashRig:
    """A queue, a collector, and sidecars."""

    def __init__(self, folder: Path, collector: CollectorProcess, nursery: Nursery, queue_name: str) -> None:
        self.folder = folder
        self.collector = collector
        self.queue_name = queue_name
        self.queue = MessageQueue.open(queue_name, max_messages=10, max_message_size=1024)
        self._nursery = nursery

    def close(self) -> None:
        self.queue.unlink()
        self.queue.close()

    def sidecar(self, name: str, *, disk: dict[str, Any] | None = None, **keys: str) -> NurserySidecar:
        """Start one, with a folder and a log of its own."""
        (self.folder / name).mkdir()
        return NurserySidecar(
            self._nursery,
            self.folder / name,
            self.queue_name,
            self.collector.port,
            disk=disk,
            **{**KEYS, **keys},
        )


@pytest.fixture
def rig(tmp_path: Path, collector: CollectorProcess, nursery: Nursery, queue_name: str) -> Iterator[CrashRig]:
    with contextlib.closing(CrashRig(tmp_path, collector, nursery, queue_name)) as made:
        yield made


# --- every change on the disk ----------------------------------------------------------------------------


def points_of(rig: CrashRig) -> list[str]:
    """Return the names of all changes that one run makes on the disk."""
    record = rig.folder / "points"
    sidecar = rig.sidecar("dry", disk={"kind": "killing", "record": str(record)})
    oracle = Oracle(rig.queue, rig.collector, "dry")
    oracle.put(4)
    oracle.check(sidecar)
    return sorted(set(record.read_text().split()))


def test_a_sidecar_killed_at_every_change_on_the_disk_and_again_loses_and_repeats_nothing(
    rig: CrashRig,
) -> None:
    """Received, reserved, sealed, renamed, posted, removed, split, dead-lettered: each is such a change."""
    points = points_of(rig)
    assert set(points) >= {
        "create:.open", "reserve:file", "truncate:file", "sync:file", "rename:.open", "remove:.batch",
        "make_directory:.splitting", "rename:.splitting", "rename:.json", "rename:.batch",
        "remove_directory:.split",
    }  # fmt: skip
    both = [(point, when) for point in points for when in ("before", "after")]
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda half: kill_at(both[half::2], rig.folder, f"{rig.queue_name}-{half}"), (0, 1)))


def kill_at(points: list[tuple[str, str]], folder: Path, queue_name: str) -> None:
    """Kill sidecars at these points, in a rig of which nothing is shared."""
    (folder / queue_name).mkdir()
    with (
        contextlib.closing(Nursery()) as nursery,
        CollectorProcess(folder / queue_name, nursery=nursery) as collector,
        contextlib.closing(CrashRig(folder, collector, nursery, queue_name)) as rig,
    ):
        for point, when in points:
            mark = f"{when} {point}"
            oracle = Oracle(rig.queue, rig.collector, mark)
            disk = {"kind": "killing", "point": point, "after": when == "after"}
            sidecar = rig.sidecar(mark, disk=disk)
            oracle.put(4)
            assert ended(sidecar, signal.SIGTERM) == -signal.SIGKILL, f"never came to {mark}"
            sidecar.start()
            oracle.put(2)
            ended(sidecar, signal.SIGKILL)  # at the same point, if it comes there while it recovers
            sidecar.disk = {}
            sidecar.start()
            oracle.check(sidecar)


def ended(sidecar: NurserySidecar, otherwise: signal.Signals) -> int:
    """Return how the process ended; one that goes on for a while gets a signal."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: sidecar.process.poll() is not None, "it is killed", SETTLE_SECONDS)
    sidecar.signal(otherwise)
    return sidecar.process.wait()


# --- between the collector and the disk ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [{"hang": True}, {"delay": 1}, {"accept_then": "close"}, {"status": 503}],
    ids=["posted", "stored", "answer lost", "answer read"],
)
def test_a_sidecar_killed_around_an_attempt_stores_each_event_once(
    rig: CrashRig, fault: dict[str, Any]
) -> None:
    oracle = Oracle(rig.queue, rig.collector, json.dumps(fault).replace('"', "'"))
    sidecar = rig.sidecar("it")
    for _ in range(2):
        before = len(rig.collector.requests())
        rig.collector.set_faults([fault])
        oracle.put(2)
        wait_until(lambda n=before: len(rig.collector.requests()) > n, "the collector is asked")
        sidecar.kill()
        rig.collector.set_faults([])
        sidecar.start()
    oracle.check(sidecar)


# --- adoption --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", ["truncate:file", "sync:file", "rename:.open", "rename:.batch"])
def test_a_sidecar_killed_while_it_adopts_a_slot_loses_and_repeats_nothing(
    rig: CrashRig, point: str, when: str
) -> None:
    """Two die with batches; who takes over from them dies, so does the next; the one after that finishes."""
    oracle = Oracle(rig.queue, rig.collector, f"adopt {when} {point}")
    rig.collector.set_faults([{"status": 503, "times": "forever"}])
    shared = {"spool_dir": str(rig.folder / "spool"), "batch_max_age": "1 h"}
    pair = [rig.sidecar("one", **shared), rig.sidecar("two", **shared)]
    for number, sidecar in enumerate(pair):
        other = pair[1 - number]
        other.pause()
        for left in range(2):  # a sealed batch and an open one
            oracle.put(4)
            wait_until(lambda: rig.queue.depth() == 0, "it is received")
            if not left:
                sidecar.signal(signal.SIGHUP)
                slot = rig.folder / "spool" / rig.queue_name / str(number)
                wait_until(lambda s=slot: [*s.glob("*.batch")], "it is sealed")
        other.signal(signal.SIGCONT)
    for sidecar in pair:
        sidecar.kill()
    third = pair[0]
    third.spool = rig.folder / "spool"
    third.configure(batch_max_age="20 ms")
    third.disk = {"kind": "killing", "point": point, "after": when == "after"}
    third.start()
    assert ended(third, signal.SIGTERM) == -signal.SIGKILL
    third.start()
    ended(third, signal.SIGKILL)
    rig.collector.set_faults([])
    third.disk = {}
    third.start()
    oracle.check(third)
    assert not [*third.spool.glob("*/1/*")], "the other slot is empty"


# --- between the kernel and the file ---------------------------------------------------------------------


@pytest.mark.parametrize("loops", [compiled_loop, PythonLoop])
def test_receiving_killed_at_any_instant_leaves_each_message_in_the_file_or_in_the_queue(
    loops: Callable[[], Loop], tmp_path: Path, rig: CrashRig
) -> None:
    """The instant is drawn from the whole call; most kills fall between `mq_receive` and the commit."""
    kills = int(os.environ.get("EVENTPUB_RECEIVE_KILLS", "150"))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    instants = random.Random(seed)
    queue, receive, running = rig.queue, loops(), mmap.mmap(-1, 1)
    sent = 0
    for round_ in range(kills):
        directory = tmp_path / str(round_)
        directory.mkdir()
        (tmp_path / "dead").mkdir(exist_ok=True)

        def drain(directory: Path = directory) -> None:
            batch = OpenBatch(directory, 1, Disk(), body_limit_bytes=1 << 20, message_size_bytes=1024)
            batch.state.queue_fd, batch.state.wake_fd = queue.fd, os.eventfd(0)
            batch.state.wait, batch.state.max_age_ns = 1, 10**12
            running[0] = 1
            receive.receive(batch.state, batch.memory)
            os._exit(0)

        running[0] = 0
        child = os.fork()
        if child == 0:
            try:
                drain()
            finally:
                os._exit(1)
        until = time.monotonic() + instants.uniform(0, 0.004)
        messages = []
        while not running[0] or time.monotonic() < until:
            message = b'{"n":%d,"pad":"%s"}' % (sent, b"x" * instants.randrange(900))
            if queue.send(message):
                messages.append(message)
                sent += 1
            if not running[0]:
                until = time.monotonic() + instants.uniform(0, 0.004)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        folder = Folder(directory, tmp_path / "dead", tmp_path / "dead", Disk(), fsync=False)
        folder.restore()
        found = [
            event
            for batch in folder.batches()
            for event in records.read_records(batch.path.read_bytes()).events
        ]
        assert found + list(iter(queue.receive, None)) == messages, f"kill {round_}, seed {seed}"
    assert sent > kills
