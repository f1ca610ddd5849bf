"""A real sidecar on a disk that is full, read-only or broken.

It neither ends nor spins; what is spooled is delivered all the while; `put` says full once the kernel's queue
is; and when the disk is well again it goes on by itself. The books balance, nothing is lost or doubled.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.cpu import read_cpu_seconds
from support.mounts import seeing
from support.nursery import Nursery, NurserySidecar
from support.waiting import wait_until

from eventpub import EventQueue
from eventpub.errors import EventQueueFullError
from eventpub.queue.message_queue import MessageQueue

MAX_BUSY = 0.25  # of a CPU; polling once a second takes 0.01, a loop without a pause takes 1


class DiskRig:
    """A sidecar with small batches, and an application that puts until it is told that the queue is full."""

    def __init__(
        self,
        folder: Path,
        collector: CollectorProcess,
        queue_name: str,
        nursery: Nursery,
        disk: dict[str, Any] | None = None,
        **keys: str,
    ) -> None:
        self.collector = collector
        self.queue = MessageQueue.open(queue_name, max_messages=10, max_message_size=1024)
        self.application = EventQueue(queue_name, event_serializer=lambda event: json.dumps(event).encode())
        self.accepted: list[int] = []
        self.mark = f"{queue_name}"
        self.sidecar = NurserySidecar(
            nursery, folder, queue_name, collector.port, disk=disk,
            **{
                "collector_version": "2j", "max_message_size": "1024", "batch_max_age": "20 ms",
                "batch_max_size": "128 KiB", "spool_max_size": "64 MiB", **keys,
            },
        )  # fmt: skip

    def close(self) -> None:
        self.sidecar.kill()
        self.application.close()
        self.queue.unlink()
        self.queue.close()

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.put_one()
            wait_until(lambda: self.queue.depth() < 10, "it is received")

    def put_one(self) -> None:
        """Put an event, or raise EventQueueFullError."""
        self.application.put({"mark": self.mark, "n": len(self.accepted), "pad": "x" * 800})
        self.accepted.append(len(self.accepted))

    def put_until_full(self) -> None:
        """Put until the queue has been full for a while."""
        full_since = None
        while full_since is None or time.monotonic() < full_since + 0.3:
            try:
                self.put_one()
            except EventQueueFullError:
                full_since = full_since or time.monotonic()
                time.sleep(0.005)
            else:
                full_since = None

    def busy(self) -> float:
        """Return what share of a CPU it takes while it fails."""
        pid, started = self.sidecar.process.pid, time.monotonic()
        before = read_cpu_seconds(pid)
        time.sleep(0.4)  # the time is what is measured
        return (read_cpu_seconds(pid) - before) / (time.monotonic() - started)

    def stored(self) -> list[int]:
        rows = (row["event"] for row in self.collector.events())
        return sorted(row["n"] for row in rows if row["mark"] == self.mark)

    def wait_stored(self, at_least: int) -> None:
        wait_until(lambda: len(self.stored()) >= at_least, f"{at_least} events are stored")

    def check(self) -> None:
        """Hold what is stored against what `put` accepted, and the books against themselves."""
        self.wait_stored(len(self.accepted))
        assert self.sidecar.stop() == 0, self.sidecar.log()
        assert self.stored() == self.accepted
        ledger = self.sidecar.ledger()
        assert (ledger["dropped"], ledger["dead"], ledger["unaccounted"]) == (0, 0, 0)


# --- a disk that answers with an error -------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path, collector: CollectorProcess, nursery: Nursery, queue_name: str) -> Iterator[DiskRig]:
    disk = {"kind": "switched", "switch": str(tmp_path / "switch")}
    with contextlib.closing(DiskRig(tmp_path, collector, queue_name, nursery, disk)) as rig:
        yield rig


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get
)
def test_a_disk_on_which_nothing_can_be_changed_stops_receiving_and_nothing_else(
    broken: DiskRig, tmp_path: Path, number: int
) -> None:
    broken.put(20)
    broken.wait_stored(20)
    (tmp_path / "switch").write_text(str(number))
    broken.put_until_full()
    assert broken.busy() < MAX_BUSY
    (tmp_path / "switch").unlink()
    wait_until(lambda: broken.queue.depth() == 0, "it receives again, by itself")
    broken.put(20)
    broken.check()


@pytest.mark.parametrize("steps", ["create", "reserve", "truncate", "sync", "rename", "create reserve write"])
def test_a_disk_that_fails_at_one_step_loses_nothing(broken: DiskRig, tmp_path: Path, steps: str) -> None:
    (tmp_path / "switch").write_text(f"{errno.EIO} {steps}")
    broken.put_until_full()
    assert broken.busy() < MAX_BUSY
    (tmp_path / "switch").unlink()
    broken.check()


def test_a_batch_that_cannot_be_removed_is_stored_once_and_holds_up_no_other(
    broken: DiskRig, tmp_path: Path
) -> None:
    (tmp_path / "switch").write_text(f"{errno.EIO} remove")
    before = len(broken.collector.requests())
    for _ in range(3):
        broken.put(20)
        broken.wait_stored(len(broken.accepted))
    assert broken.busy() < MAX_BUSY
    sent = [request["batch_id"] for request in broken.collector.requests()[before:]]
    assert len(sent) == len(set(sent)), "none is sent again"
    (tmp_path / "switch").unlink()
    wait_until(lambda: not broken.sidecar.batches(), "they are removed")
    broken.check()


needs_a_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")


@needs_a_user
def test_a_file_that_cannot_be_read_at_the_start_is_delivered_once_it_can_be(broken: DiskRig) -> None:
    """What cannot be read now says nothing of what is in it: it is neither set aside nor lost; others go on."""
    broken.sidecar.configure(batch_max_age="1 h")
    broken.sidecar.signal(signal.SIGHUP)
    broken.put(100)
    wait_until(lambda: broken.queue.depth() == 0, "all is received")
    broken.sidecar.kill()
    left = [*broken.sidecar.spool.glob("*/0/*.open")]
    for path in left:
        path.chmod(0)
    broken.sidecar.configure(batch_max_age="20 ms")
    broken.sidecar.start()
    assert "file cannot be read now, trying again" in broken.sidecar.log()
    broken.put(10)
    broken.wait_stored(10)
    for path in left:
        path.chmod(0o600)
    broken.check()
    assert not [*broken.sidecar.spool.glob("*/damaged/*")]
    assert broken.sidecar.ledger()["recovered"] > 0


@needs_a_user
def test_a_sealed_batch_that_cannot_be_read_for_a_while_holds_up_no_other(broken: DiskRig) -> None:
    broken.collector.set_faults([{"status": 503, "times": "forever"}])
    broken.put(5)
    wait_until(broken.sidecar.batches, "a batch is sealed")
    broken.sidecar.kill()
    unreadable = broken.sidecar.batches()
    for batch in unreadable:
        batch.chmod(0)
    broken.collector.set_faults([])
    broken.sidecar.start()
    broken.put(20)
    broken.wait_stored(20)
    wait_until(lambda: "spool could not be read or written" in broken.sidecar.log(), "it says so")
    for batch in unreadable:
        batch.chmod(0o600)
    broken.check()


@pytest.mark.parametrize("end", ["newest", "oldest"])
def test_a_full_spool_whose_batches_cannot_be_removed_keeps_them_until_they_can(
    broken: DiskRig, tmp_path: Path, end: str
) -> None:
    """What is to be dropped stays in the books, and to be sent, as long as the disk does not let it go."""
    broken.collector.set_faults([{"status": 503, "times": "forever"}])
    broken.sidecar.configure(**{"spool.max_size": "4 MiB", "spool.when_full": f"drop_{end}"})
    broken.sidecar.stop()
    broken.sidecar.start()
    (tmp_path / "switch").write_text(f"{errno.EIO} remove")

    def put_some() -> bool:
        with contextlib.suppress(EventQueueFullError):
            for _ in range(50):
                broken.put_one()
        return "spool could not be read or written" in broken.sidecar.log()

    wait_until(put_some, "it is full, and something is to be dropped")
    assert broken.sidecar.process.poll() is None
    (tmp_path / "switch").unlink()
    broken.collector.set_faults([])
    wait_until(lambda: broken.queue.depth() == 0 and not broken.sidecar.batches(), "it goes on by itself")
    assert broken.sidecar.stop() == 0
    ledger = broken.sidecar.ledger()
    assert (ledger["received"], ledger["unaccounted"]) == (len(broken.accepted), 0)
    assert ledger["delivered"] == len(broken.stored())


def test_spooled_batches_are_delivered_while_no_new_file_can_be_made(broken: DiskRig, tmp_path: Path) -> None:
    broken.collector.set_faults([{"status": 503, "times": "forever"}])
    broken.put(100)
    wait_until(broken.sidecar.batches, "some are sealed")
    (tmp_path / "switch").write_text(f"{errno.ENOSPC} create reserve write")
    broken.put_until_full()
    broken.collector.set_faults([])
    broken.wait_stored(100)
    assert broken.queue.depth() == 10, "the disk is still full"
    (tmp_path / "switch").unlink()
    broken.check()


def test_a_start_on_a_failing_disk_waits_until_it_is_well(broken: DiskRig, tmp_path: Path) -> None:
    broken.collector.set_faults([{"status": 503, "times": "forever"}])
    broken.put(50)
    broken.sidecar.kill()
    (tmp_path / "switch").write_text(str(errno.EROFS))
    broken.sidecar.launch()
    wait_until(lambda: "cannot start yet" in broken.sidecar.log(), "it waits")
    assert broken.busy() < MAX_BUSY
    (tmp_path / "switch").unlink()
    broken.collector.set_faults([])
    broken.check()


def test_a_start_that_waits_for_its_disk_ends_well_at_a_signal(broken: DiskRig, tmp_path: Path) -> None:
    slot = broken.sidecar.spool / broken.queue.name / "0"
    wait_until(
        lambda: list(slot.glob("*.open")), "it leaves an open batch, which the next start must clear away"
    )
    broken.sidecar.kill()
    (tmp_path / "switch").write_text(str(errno.EROFS))
    broken.sidecar.launch()
    wait_until(lambda: "cannot start yet" in broken.sidecar.log(), "it waits")
    broken.sidecar.signal(signal.SIGHUP)
    assert broken.sidecar.stop() == 0
    assert "stopped before it had started reason=SIGTERM" in broken.sidecar.log()


def test_a_spool_that_cannot_be_looked_at_for_a_while_is_no_end(broken: DiskRig, tmp_path: Path) -> None:
    """ENOTDIR, then ELOOP in place of the folder above; once it is back, all goes on."""
    spool, away = broken.sidecar.spool, tmp_path / "away"
    broken.collector.set_faults([{"status": 503, "times": 5}])
    broken.put(20)
    spool.rename(away)
    said = "spool could not be read or written"
    for number, make in enumerate((lambda: spool.write_text("x"), lambda: spool.symlink_to(spool)), 1):
        make()
        wait_until(lambda n=number: broken.sidecar.log().count(said) >= n, "the tick says so")
        spool.unlink()
        away.rename(spool)
        broken.put(20)
        broken.wait_stored(len(broken.accepted))
        spool.rename(away)
    away.rename(spool)
    broken.check()


# --- a disk that is full or read-only --------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, collector: CollectorProcess, queue_name: str) -> Iterator[DiskRig]:
    """A rig with its spool on a file system of 2 MiB that only its nursery sees."""
    (tmp_path / "small").mkdir()
    nursery = Nursery(seeing(f"mount -t tmpfs -o size=2m,mode=700 none '{tmp_path / 'small'}'"))
    spool = tmp_path / "small" / "spool"
    with (
        contextlib.closing(nursery),
        contextlib.closing(DiskRig(tmp_path, collector, queue_name, nursery, spool_dir=str(spool))) as rig,
    ):
        rig.nursery = nursery
        rig.sidecar.spool = Path(f"/proc/{nursery.pid}/root{spool}")
        yield rig


def remount(rig: DiskRig, how: str) -> None:
    folder = rig.sidecar.spool.parent
    mounted = Path("/", *folder.parts[4:])
    subprocess.run(
        ["nsenter", f"--mount=/proc/{rig.nursery.pid}/ns/mnt", "mount", "-o", f"remount,{how}", mounted],
        check=True,
    )


def test_a_disk_filled_by_our_own_batches_empties_as_they_are_delivered(small: DiskRig) -> None:
    small.collector.set_faults([{"status": 503, "times": "forever"}])
    small.put_until_full()
    assert len(small.accepted) > 1000, "the disk was used"
    assert "No space left" in small.sidecar.log()
    assert small.busy() < MAX_BUSY
    small.collector.set_faults([])
    wait_until(lambda: small.queue.depth() == 0, "it receives again, by itself")
    small.put(50)
    small.check()


def test_a_disk_filled_by_others_takes_nothing_and_loses_nothing(small: DiskRig) -> None:
    small.put(20)
    small.wait_stored(20)
    fill(small)
    small.put_until_full()
    assert small.busy() < MAX_BUSY
    (small.sidecar.spool.parent / "filler").unlink()
    wait_until(lambda: small.queue.depth() == 0, "it receives again, by itself")
    small.check()


def fill(rig: DiskRig) -> None:
    filler = (rig.sidecar.spool.parent / "filler").open("wb", buffering=0)
    with filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


def test_a_sidecar_starts_on_a_full_disk_and_delivers_what_was_left(small: DiskRig) -> None:
    """Killed with open batches: sealing them takes no space."""
    small.collector.set_faults([{"status": 503, "times": "forever"}])
    small.sidecar.configure(batch_max_age="1 h")
    small.sidecar.signal(1)
    small.put(100)
    wait_until(lambda: small.queue.depth() == 0, "all is received")
    small.sidecar.kill()
    fill(small)
    small.collector.set_faults([])
    small.sidecar.start()
    small.wait_stored(100)
    (small.sidecar.spool.parent / "filler").unlink()
    small.check()


def test_a_start_on_a_disk_that_has_no_room_for_a_folder_waits_until_it_has(small: DiskRig) -> None:
    small.sidecar.stop()
    disk = small.sidecar.spool.parent
    subprocess.run(["rm", "-rf", small.sidecar.spool], check=True)
    remount(small, "nr_inodes=2")
    (disk / "filler").touch()
    small.sidecar.launch()
    wait_until(lambda: "cannot start yet" in small.sidecar.log(), "it waits")
    assert small.busy() < MAX_BUSY
    assert "cannot be made: No space left on device; free space on the disk" in small.sidecar.log()
    (disk / "filler").unlink()
    remount(small, "nr_inodes=100")
    small.put(20)
    small.check()


BAD = {
    "malformed": b"garbage %d",  # found by the sidecar
    "not UTF-8": b'{"n":-%d,"text":"\xff"}',  # refused by the collector, which cannot say where it is
}


def put_until_full_with_bad_ones(rig: DiskRig, kind: str, *, one_in: int, pause_seconds: float) -> int:
    """Put until the queue stays full, with bad ones among them, and return how many of these there are."""
    rig.collector.set_faults([{"status": 503, "times": "forever"}])
    bad = 0
    full_since = None
    while full_since is None or time.monotonic() < full_since + 0.3:
        try:
            rig.put_one()
        except EventQueueFullError:
            full_since = full_since or time.monotonic()
            time.sleep(0.005)
        else:
            full_since = None
            if len(rig.accepted) % one_in == 5:
                bad += rig.queue.send(BAD[kind] % bad)
            if len(rig.accepted) % 10 == 0:
                time.sleep(pause_seconds)
    return bad


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ("none", "not UTF-8"),
        ("restart", "malformed"),
        ("filled by others and killed", "not UTF-8"),
        ("inodes", "malformed"),
    ],
)
def test_a_full_disk_with_a_refused_event_in_each_batch_empties_all_the_same(
    small: DiskRig, trouble: str, kind: str
) -> None:
    """Parts and dead letters have to be written before anything is freed."""
    if trouble == "inodes":
        remount(small, "nr_inodes=60")
        bad = put_until_full_with_bad_ones(small, kind, one_in=14, pause_seconds=0.025)
    else:
        remount(small, "size=1m")
        bad = put_until_full_with_bad_ones(small, kind, one_in=50, pause_seconds=0)
    assert small.busy() < MAX_BUSY
    if trouble == "restart":
        small.sidecar.configure(shutdown_timeout="100 ms")
        small.sidecar.signal(signal.SIGHUP)
        small.sidecar.stop()
        small.sidecar.start()
    elif trouble.startswith("filled"):
        fill(small)
        small.sidecar.kill()
        small.sidecar.start()
    small.collector.set_faults([])
    small.wait_stored(len(small.accepted))
    wait_until(lambda: small.queue.depth() == 0 and not small.sidecar.batches(), "it goes on by itself")
    assert small.sidecar.stop() == 0, small.sidecar.log()
    assert small.stored() == small.accepted
    ledger = small.sidecar.ledger()
    assert (ledger["dropped"], ledger["spooled"], ledger["unaccounted"]) == (0, 0, 0)
    assert len(small.sidecar.dead_letters()) == bad > 5


def test_a_disk_that_becomes_read_only_loses_nothing(small: DiskRig) -> None:
    small.sidecar.stop()  # a file that is open for writing would keep it from being remounted
    remount(small, "ro")
    small.sidecar.launch()
    small.put_until_full()
    assert small.busy() < MAX_BUSY
    remount(small, "rw")
    wait_until(lambda: small.queue.depth() == 0, "it receives, by itself")
    small.put(20)
    small.check()
