"""Files of the spool damaged, renamed and removed under a real sidecar, while it is stopped and while it runs.

Whatever was done to them costs what was damaged and nothing else: that is counted, a copy is kept, the process
starts, works and stops as ever, and its books balance.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.spool import records

EVENTS = 6  # in each batch of these tests


class DamageRig:
    """A sidecar whose batches wait, since the collector refuses them until `deliver`."""

    def __init__(
        self, folder: Path, collector: CollectorProcess, nursery: Nursery, queue: MessageQueue
    ) -> None:
        self.collector, self.queue = collector, queue
        self._put = 0
        self._mark = queue.name.encode()
        collector.set_faults([{"status": 503, "headers": {"Retry-After": "60"}, "times": "forever"}])
        self.sidecar = NurserySidecar(
            nursery, folder, queue.name.removeprefix("/events-"), collector.port, collector_version="2j",
            max_message_size="1024", batch_max_age="1 h", retry_max="50 ms", shutdown_timeout="0 s",
        )  # fmt: skip
        self.base = self.sidecar.spool / self.sidecar.queue_name
        self.slot = self.base / "0"

    def events(self, first: int) -> list[bytes]:
        made = (b'{"q":"%s","n":%d,"pad":"%s"}' % (self._mark, first + n, b"x" * 900) for n in range(EVENTS))
        return list(made)

    def receive(self) -> None:
        """Have one more batch's events received, and not sealed."""
        for event in self.events(self._put):
            wait_until(lambda e=event: self.queue.send(e), "the queue has room")
        self._put += EVENTS
        wait_until(lambda: self.queue.depth() == 0, "all is received")

    def seal(self) -> Path:
        """Have one more batch received and sealed."""
        before = len(self.collector.requests())
        self.receive()
        self.sidecar.signal(signal.SIGHUP)
        wait_until(lambda: len(self.collector.requests()) > before, "one attempt was made; none is now")
        return self.sidecar.batches()[-1]

    def open_file(self) -> Path:
        """Return the batch file that fills, not the spare."""
        return next(
            path for path in sorted(self.slot.glob("*.open")) if records.read_records(path.read_bytes()).events
        )

    def deliver(self) -> list[int]:
        """Let the collector take everything, stop, check the books, and return the numbers of what it has."""
        self.collector.set_faults([])
        self.sidecar.configure(batch_max_age="20 ms", shutdown_timeout="5 s")
        if self.sidecar.process.poll() is None:
            self.sidecar.signal(signal.SIGHUP)
        else:
            self.sidecar.start()
        first = self._put
        self._put += EVENTS
        for event in self.events(first):  # and it still works
            wait_until(lambda e=event: self.queue.send(e), "the queue has room")
        wait_until(lambda: set(range(first, self._put)) <= set(self.stored()), "later events are delivered")
        wait_until(lambda: not self.sidecar.batches(), "nothing is left")
        assert self.sidecar.stop() == 0, self.sidecar.log()
        assert self.sidecar.ledger()["unaccounted"] == 0
        stored = self.stored()
        assert len(stored) == len(set(stored)), "nothing is stored twice"
        return [n for n in stored if n < first]

    def stored(self) -> list[int]:
        rows = (row["event"] for row in self.collector.events())
        return sorted(row["n"] for row in rows if row["q"] == self._mark.decode())

    @property
    def dropped(self) -> int:
        return self.sidecar.ledger()["dropped"]

    @property
    def kept(self) -> list[Path]:
        return [*(self.base / "damaged").iterdir()]


@pytest.fixture
def rig(tmp_path: Path, nursery: Nursery, collector: CollectorProcess, queue_name: str) -> Iterator[DamageRig]:
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=1024) as queue:
        made = DamageRig(tmp_path, collector, nursery, queue)
        yield made
        made.sidecar.kill()


# --- damage to a batch that waits ------------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[bytearray], None]) -> None:
    image = bytearray(path.read_bytes())
    change(image)
    path.write_bytes(image)


def third_record(image: bytes) -> int:
    return next(stretch.offset for stretch in list(records.scan_records(bytes(image)))[2:])


def flip_bit(image: bytearray) -> None:
    image[third_record(image) + 100] ^= 4


def zero_header(image: bytearray) -> None:
    image[: records.HEADER_BYTES] = bytes(records.HEADER_BYTES)


def zero_page(image: bytearray) -> None:
    image[4096:8192] = bytes(len(image[4096:8192]))


def wrong_version(image: bytearray) -> None:
    image[8] = 9


def truncate_record(image: bytearray) -> None:
    del image[third_record(image) + 40 :]


def truncate_record_header(image: bytearray) -> None:
    del image[third_record(image) + 7 :]


def truncate_file_header(image: bytearray) -> None:
    del image[30:]


def truncate_tail(image: bytearray) -> None:
    del image[-200:]


def empty(image: bytearray) -> None:
    image.clear()


def foreign(image: bytearray) -> None:
    image[:] = b"From: me\nThis is no batch.\n" * 40


@dataclass(frozen=True)
class Damage:
    change: Callable[[bytearray], None]
    survivors: list[int]


DAMAGES = [
    Damage(flip_bit, [0, 1, 3, 4, 5]),
    Damage(zero_header, [0, 1, 2, 3, 4, 5]),
    Damage(zero_page, [0, 1, 2, 3]),
    Damage(wrong_version, [0, 1, 2, 3, 4, 5]),
    Damage(truncate_record, [0, 1]),
    Damage(truncate_record_header, [0, 1]),
    Damage(truncate_file_header, []),
    Damage(truncate_tail, [0, 1, 2, 3, 4]),
    Damage(empty, []),
    Damage(foreign, []),
]


@pytest.mark.parametrize("state", ["stopped", "running"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.change.__name__)
def test_damage_costs_only_the_damaged_records_which_are_counted_and_kept(
    rig: DamageRig, damage: Damage, state: str
) -> None:
    hurt = rig.seal()
    rig.seal()
    if state == "stopped":
        rig.sidecar.stop()
    rewrite(hurt, damage.change)
    image = hurt.read_bytes()
    assert rig.deliver() == [*damage.survivors, *range(EVENTS, 2 * EVENTS)]
    assert rig.dropped == EVENTS - len(damage.survivors)
    assert [path.read_bytes() for path in rig.kept] == [image]


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_batch_that_was_removed_costs_itself_and_is_counted(rig: DamageRig, state: str) -> None:
    gone = rig.seal()
    rig.seal()
    if state == "stopped":
        rig.sidecar.stop()
    gone.unlink()
    assert rig.deliver() == list(range(EVENTS, 2 * EVENTS))
    assert rig.dropped == (
        0 if state == "stopped" else EVENTS
    )  # nobody knows what was removed while nobody watched


def test_a_batch_with_a_folder_in_its_place_costs_itself_and_is_counted(rig: DamageRig) -> None:
    gone = rig.seal()
    rig.seal()
    gone.unlink()
    make_folder(gone)
    rig.collector.set_faults([])
    rig.sidecar.signal(signal.SIGHUP)
    wait_until(lambda: set(range(EVENTS, 2 * EVENTS)) <= set(rig.stored()), "the other is delivered")
    assert rig.sidecar.stop() == 0
    assert (rig.dropped, rig.sidecar.ledger()["unaccounted"]) == (EVENTS, 0)
    assert rig.stored() == list(range(EVENTS, 2 * EVENTS))


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("000000000001.2.batch", 0),
        ("000000000001.600.batch", 594),
        ("000000000001.0.batch", 0),
        ("000000000001.batch", 0),
        ("000000000001.-6.batch", 0),
        ("000000000001.six.batch", 0),
        ("copy of a batch.6.batch", 0),
        (".batch", 0),
        ("x.open", 0),
        ("7.6.batch", 0),
    ],
)
def test_a_batch_with_a_wrong_name_is_delivered_all_the_same(rig: DamageRig, name: str, dropped: int) -> None:
    batch = rig.seal()
    rig.seal()
    rig.sidecar.stop()
    batch.rename(batch.with_name(name))
    assert rig.deliver() == list(range(2 * EVENTS))
    assert rig.dropped == dropped


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("something")


STRANGERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "folder named like a batch": ("000000000009.5.batch", make_folder),
    "folder named like an open batch": ("000000000009.open", make_folder),
    "file named like a split": ("000000000009.split", lambda path: path.write_text("x")),
    "file named like a splitting": ("000000000009.splitting", lambda path: path.write_text("x")),
    "link named like a batch": ("000000000009.5.batch", lambda path: path.symlink_to("/etc/passwd")),
    "link to nothing": ("000000000009.open", lambda path: path.symlink_to("nowhere")),
    "pipe named like a batch": ("000000000009.5.batch", os.mkfifo),
    "foreign file named like an open batch": ("000000000009.open", lambda path: path.write_bytes(b"hello")),
    "anything": ("README", lambda path: path.write_text("x")),
    "name that is no text": (os.fsdecode(b"\xff\xfe.batch"), make_folder),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_does_not_belong_in_a_slot_is_moved_away_and_disturbs_nothing(
    rig: DamageRig, stranger: str
) -> None:
    rig.seal()
    rig.sidecar.stop()
    name, make = STRANGERS[stranger]
    make(rig.slot / name)
    assert rig.deliver() == list(range(EVENTS))
    assert rig.dropped == (5 if ".5." in name else 0), "where a batch was, its events are missed"
    assert [path.name.split("-", 2)[2] for path in rig.kept] == [name]


def test_what_does_not_belong_among_the_parts_of_a_batch_costs_none_of_them(rig: DamageRig) -> None:
    """The process was killed before the parts took the place of their batch; then somebody put things there."""
    batch = rig.seal()
    rig.sidecar.stop()
    split = rig.slot / "000000000001.split"
    split.mkdir()
    batch.rename(split / "000000000009.6.batch")
    make_folder(split / "000000000010.1.batch")
    (split / "link").symlink_to("nowhere")
    assert rig.deliver() == list(range(EVENTS))
    assert rig.dropped == 1, "where a batch was, its events are missed"
    assert sorted(path.name.split("-", 2)[2] for path in rig.kept) == ["000000000010.1.batch", "link"]


def test_a_batch_that_was_replaced_by_something_else_is_missed(rig: DamageRig) -> None:
    rig.seal()
    rig.sidecar.stop()
    for path in rig.sidecar.batches():
        path.unlink()
        path.mkdir()
    assert rig.deliver() == []
    assert rig.dropped == EVENTS


def test_what_does_not_belong_beside_the_slots_and_the_dead_letters_disturbs_nothing(rig: DamageRig) -> None:
    rig.seal()
    rig.sidecar.stop()
    for folder in (rig.sidecar.spool, rig.base, rig.base / "dead", rig.base / "damaged"):
        make_folder(folder / "folder")
        (folder / "000000000001.5.batch").write_text("x")
        (folder / "x.json").write_text("no letter")
        (folder / "link").symlink_to("nowhere")
    assert rig.deliver() == list(range(EVENTS))


# --- the batch that fills --------------------------------------------------------------------------------


def test_an_open_batch_that_was_removed_while_it_fills_costs_nothing(rig: DamageRig) -> None:
    rig.receive()
    rig.open_file().unlink()
    assert rig.deliver() == list(range(EVENTS))
    assert rig.dropped == 0


def test_an_open_batch_that_was_moved_while_it_fills_costs_nothing(rig: DamageRig) -> None:
    rig.receive()
    moved = rig.open_file()
    moved.rename(rig.base / "moved")
    assert rig.deliver() == list(range(EVENTS))
    assert rig.dropped == 0


def test_an_open_batch_that_was_removed_with_its_folder_and_can_be_saved_nowhere_is_counted(
    rig: DamageRig,
) -> None:
    """A file stands where the spool was, until the process ends."""
    rig.receive()
    shutil.rmtree(rig.sidecar.spool)
    rig.sidecar.spool.write_text("in the way")
    assert rig.sidecar.stop() in (0, 73)
    ledger = rig.sidecar.ledger()
    assert (ledger["received"], ledger["dropped"], ledger["unaccounted"]) == (EVENTS, EVENTS, 0)


@pytest.mark.parametrize(("left", "survivors"), [(0, []), (4096, [0, 1, 2, 3])])
def test_an_open_batch_that_was_truncated_while_it_fills_costs_what_was_cut_off(
    rig: DamageRig, left: int, survivors: list[int]
) -> None:
    """It is counted, the process goes on, and the message that comes next is not lost."""
    rig.receive()
    pid = rig.sidecar.process.pid
    os.truncate(rig.open_file(), left)
    rig.receive()
    wait_until(lambda: "another program cut the batch file" in rig.sidecar.log(), "it says so")
    assert rig.deliver() == [*survivors, *range(EVENTS, 2 * EVENTS)]
    assert (rig.dropped, rig.sidecar.process.pid) == (EVENTS - len(survivors), pid)


def test_a_spare_batch_file_that_was_truncated_costs_nothing(rig: DamageRig) -> None:
    def is_waiting() -> bool:
        headers = [records.read_header(path.read_bytes()[:64]) for path in rig.slot.glob("*.open")]
        return len(headers) == 2 and any(header and header.version for header in headers)

    wait_until(is_waiting, "it waits for a message, and has a spare file")
    for path in rig.slot.glob("*.open"):
        os.truncate(path, 0)
    rig.receive()
    assert rig.deliver() == list(range(EVENTS))
    assert rig.dropped == 0


def test_an_open_batch_damaged_while_the_process_is_dead_costs_the_damaged_records(rig: DamageRig) -> None:
    rig.receive()
    rig.sidecar.kill()
    rewrite(rig.open_file(), flip_bit)
    assert rig.deliver() == [0, 1, 3, 4, 5]
    assert (rig.dropped, len(rig.kept)) == (1, 1)


def test_a_whole_slot_that_was_removed_while_it_is_stopped_disturbs_nothing(rig: DamageRig) -> None:
    rig.seal()
    rig.sidecar.stop()
    shutil.rmtree(rig.slot)
    assert rig.deliver() == []
