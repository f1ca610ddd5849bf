"""Killed at each single change on the disk, and again while recovering: nothing lost, doubled or altered.

Each crash point is one call of the disk seam. The scenario runs in a forked child that is really killed there;
the parent then opens what it left as the next sidecar would.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.disks import CachedDisk, ForgetfulDisk, FullDisk, KillingDisk

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.receive.loop_python import PythonLoop
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import Batch
from eventpub.sidecar.spool.dead_letters import Cause
from eventpub.sidecar.spool.disk import Disk
from eventpub.sidecar.spool.spool import Spool
from eventpub.sidecar.telemetry.metrics import Telemetry
from eventpub.sidecar.telemetry.reasons import DeadReason

EVENTS = [b'{"n":%d}' % n for n in range(12)]
BAD = b'{"n":5}'


def open_spool(folder: Path, disk: Disk, dead_max_bytes: int = 1 << 20) -> Spool:
    limits = {"max_bytes": 1 << 20, "dead_max_bytes": dead_max_bytes}
    return Spool(folder, "q", fsync=True, telemetry=Telemetry(), disk=disk, **limits)


class Progress:
    """What the killed child is known to have done, in memory it shares with its parent."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 3)

    @property
    def accepted(self) -> set[bytes]:
        return set(EVENTS[: self._shared[0]])

    @property
    def delivered(self) -> set[bytes]:
        return set(EVENTS[: self._shared[1]])

    @property
    def sealed(self) -> set[bytes]:
        return set(EVENTS[: self._shared[2]])

    def count_sealed(self, events: int) -> None:
        self._shared[2] += events

    def count_accepted(self) -> None:
        self._shared[0] += 1

    def count_delivered(self, events: int) -> None:
        self._shared[1] = events


def fill(spool: Spool, queue: MessageQueue, progress: Progress, events: list[bytes]) -> Batch:
    opened = spool.create(body_limit_bytes=4096, message_size_bytes=256)
    opened.state.queue_fd = queue.fd
    for event in events:
        assert queue.send(event)
        progress.count_accepted()
    PythonLoop().receive(opened.state, opened.memory)
    sealed = spool.seal(opened)
    assert sealed is not None
    spool.received(sealed)
    progress.count_sealed(len(events))
    return sealed


def split(spool: Spool, batch: Batch) -> None:
    """Bury the bad event, and halve the rest."""
    contents = records.read_records(batch.path.read_bytes())
    bad = contents.events.index(BAD)
    spool.split(
        batch, contents, [range(bad), range(bad + 1, len(contents.events))], {bad: Cause(DeadReason.REJECTED)}
    )


def scenario(folder: Path, queue: MessageQueue, progress: Progress, disk: Disk) -> None:
    """Two sidecars receive, one splits, both die; a third adopts and delivers, a fourth receives."""
    first, second = open_spool(folder, disk), open_spool(folder, disk)
    batch = fill(first, queue, progress, EVENTS[:8])
    fill(second, queue, progress, EVENTS[8:10])
    split(first, batch)
    fill(first, queue, progress, EVENTS[10:11])
    first.close()
    second.close()
    third, fourth = open_spool(folder, disk), open_spool(folder, disk)
    fill(fourth, queue, progress, EVENTS[11:])
    progress.count_delivered(third.recovered[0].events)  # the answer came; now the file goes
    third.delivered(third.recovered[0])
    third.close()
    fourth.close()


def in_a_child(work: Callable[[], None]) -> int:
    """Return the wait status of a child that did `work`."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001, whatever it was, pytest must not go on in the child
            os._exit(1)
    return os.waitpid(child, 0)[1]


def found(folder: Path) -> tuple[Counter[bytes], Counter[bytes]]:
    """Return what the next sidecar finds: events to be sent, and dead letters."""
    spool = open_spool(folder, CachedDisk())
    spooled = Counter(
        event for batch in spool.recovered for event in records.read_records(batch.path.read_bytes()).events
    )
    spool.close()
    dead = (json.loads(path.read_text())["event"].encode() for path in (folder / "q" / "dead").iterdir())
    return spooled, Counter(dead)


def crash_points(folder: Path, queue: MessageQueue) -> list[str]:
    """Return the names of all changes the scenario makes."""
    disk = KillingDisk()
    scenario(folder, queue, Progress(), disk)
    return disk.steps


def check(folder: Path, queue: MessageQueue, progress: Progress, point: str) -> None:
    """Each accepted event is in a batch, a dead letter or the queue, once; delivered ones may be gone."""
    spooled, dead = found(folder)
    everything = spooled + dead + Counter(iter(queue.receive, None))
    assert max(everything.values(), default=1) == 1, point
    assert set(dead) <= {BAD}, point
    assert set(everything) | progress.delivered == progress.accepted, point


def test_spool_survives_a_kill_at_every_change(tmp_path: Path, queue_name: str) -> None:
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=256) as queue:
        points = crash_points(tmp_path / "dry", queue)
        assert {"rename:.open", "rename:.splitting", "rename:.json", "remove:.batch", "rename:.batch"} <= set(
            points
        )
        for number, name in enumerate(points, 1):
            for after in (False, True):
                folder = tmp_path / f"{number}-{after}"
                disk = KillingDisk(number, after=after)
                progress = Progress()
                status = in_a_child(lambda d=disk, f=folder, o=progress: scenario(f, queue, o, d))
                point = f"{'after' if after else 'before'} {name} (change {number})"
                assert os.WTERMSIG(status) == signal.SIGKILL, point
                check(folder, queue, progress, point)


def image(digit: str, events: list[bytes]) -> bytes:
    return records.write_records(records.Header(digit * 32, 5), events)


def empty_a_full_disk(folder: Path, queue: MessageQueue, oracle: Progress, disk: FullDisk) -> None:
    """Take a batch apart, and a part of it, on a disk that has no room for another file."""
    spool = open_spool(folder, disk)
    batch = fill(spool, queue, oracle, EVENTS[:8])
    disk.free = 0
    split(spool, batch)
    spool.close()


def wait_for_room(folder: Path, queue: MessageQueue, oracle: Progress, disk: Disk) -> None:
    """Take a batch apart with no room for dead letters; bury the bad one once there is some."""
    spool = open_spool(folder, disk, dead_max_bytes=1)
    split(spool, fill(spool, queue, oracle, EVENTS[:8]))
    spool.close()
    spool = open_spool(folder, disk)
    (waiting,) = (batch for batch in spool.recovered if batch.events == 1)
    spool.split(waiting, records.read_records(waiting.path.read_bytes()), [], {0: Cause(DeadReason.REJECTED)})
    spool.close()


@pytest.mark.parametrize("work", [empty_a_full_disk, wait_for_room], ids=lambda work: work.__name__)
def test_a_kill_at_every_change_loses_nothing_without_room_for_files_or_letters(
    tmp_path: Path, queue_name: str, work: Callable[[Path, MessageQueue, Progress, FullDisk], None]
) -> None:
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=256) as queue:
        dry = FullDisk()
        work(tmp_path / "dry", queue, Progress(), dry)
        assert found(tmp_path / "dry")[1] == Counter([BAD])
        for number, name in enumerate(dry.steps, 1):
            folder, oracle, disk = tmp_path / str(number), Progress(), FullDisk(number)
            in_a_child(lambda d=disk, f=folder, o=oracle: work(f, queue, o, d))
            check(folder, queue, oracle, f"before {name} (change {number})")


def leave(folder: Path) -> None:
    """A slot with a torn open batch, an unfinished and a finished split; and an orphan's batch."""
    own, orphan = open_spool(folder, CachedDisk()), open_spool(folder, CachedDisk())
    (own.directory / "000000000004.open").write_bytes(image("0", EVENTS[:3]) + b"\0" * 500)
    (own.directory / "000000000002.3.batch").write_bytes(image("2", [*EVENTS[3:5], BAD]))
    finished = own.directory / "000000000002.split"
    finished.mkdir()
    (finished / "000000000006.2.batch").write_bytes(image("6", EVENTS[3:5]))
    (finished / f"{'2' * 32}-00002.json").write_text(json.dumps({"event": BAD.decode()}))
    unfinished = own.directory / "000000000003.splitting"
    unfinished.mkdir()
    (unfinished / "000000000007.1.batch").write_bytes(b"half")
    (own.directory / "000000000003.2.batch").write_bytes(image("3", EVENTS[6:8]))
    (orphan.directory / "000000000001.4.batch").write_bytes(image("1", EVENTS[8:]))
    own.close()
    orphan.close()


def test_recovery_survives_a_kill_at_every_change(tmp_path: Path) -> None:
    leave(tmp_path / "dry")
    disk = KillingDisk()
    open_spool(tmp_path / "dry", disk).close()
    for number, name in enumerate(disk.steps, 1):
        for after in (False, True):
            folder = tmp_path / f"{number}-{after}"
            leave(folder)
            for again in (number, max(1, number // 2)):  # and once more, while recovering from that
                killing = KillingDisk(again, after=after)
                in_a_child(lambda d=killing, f=folder: open_spool(f, d).close())
            spooled, dead = found(folder)
            assert spooled + dead == Counter(EVENTS), f"{name} (change {number})"
            assert dead == Counter([BAD])


# --- a power cut -----------------------------------------------------------------------------------------


def left_after_power_cut(folder: Path) -> Counter[bytes]:
    """Return what the next sidecar finds; a batch that is there twice has the same id, so it is stored once."""
    spool = open_spool(folder, CachedDisk())
    contents = [records.read_records(batch.path.read_bytes()) for batch in spool.recovered]
    spool.close()
    assert not any(held.damaged for held in contents)
    by_id = {held.batch_id: held.events for held in contents}
    assert all(by_id[held.batch_id] == held.events for held in contents)
    dead = (json.loads(path.read_text())["event"].encode() for path in (folder / "q" / "dead").iterdir())
    return Counter(event for events in by_id.values() for event in events) + Counter(dead)


@pytest.mark.parametrize("names", ["forgotten", "kept"])
def test_a_power_cut_at_any_change_costs_nothing_that_was_sealed(
    tmp_path: Path, queue_name: str, names: str
) -> None:
    """At most the open batch is gone; what is there is there once, and unaltered."""
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=256) as queue:
        for number, name in enumerate(crash_points(tmp_path / "dry", queue), 1):
            folder = tmp_path / str(number)
            disk = ForgetfulDisk(folder / "q", number, keeps_names=names == "kept")
            progress = Progress()
            status = in_a_child(lambda d=disk, f=folder, o=progress: scenario(f, queue, o, d))
            assert os.WTERMSIG(status) == signal.SIGKILL
            left, waiting = left_after_power_cut(folder), Counter(iter(queue.receive, None))
            assert max((left + waiting).values(), default=1) == 1, f"before {name} (change {number})"
            assert set(left) | progress.delivered >= progress.sealed, f"before {name} (change {number})"
            assert set(left) <= progress.accepted, f"before {name} (change {number})"


@pytest.mark.parametrize("names", ["forgotten", "kept"])
def test_a_power_cut_while_it_recovers_costs_nothing(tmp_path: Path, names: str) -> None:
    leave(tmp_path / "dry")
    disk = KillingDisk()
    open_spool(tmp_path / "dry", disk).close()
    for number, name in enumerate(disk.steps, 1):
        folder = tmp_path / str(number)
        leave(folder)
        forgetful = ForgetfulDisk(folder / "q", number, keeps_names=names == "kept")
        in_a_child(lambda d=forgetful, f=folder: open_spool(f, d).close())
        assert left_after_power_cut(folder) == Counter(EVENTS), f"before {name} (change {number})"
