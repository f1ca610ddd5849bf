"""The spool on a real file system: what a process leaves is what the next one finds."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.disks import FailingDisk

from eventpub import wire
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.receive.loop_python import PythonLoop
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import Batch
from eventpub.sidecar.spool.dead_letters import Cause
from eventpub.sidecar.spool.errors import SpoolError
from eventpub.sidecar.spool.spool import Spool
from eventpub.sidecar.telemetry.ledger import Ledger
from eventpub.sidecar.telemetry.metrics import Telemetry
from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason

EVENTS = [b'{"n":%d}' % n for n in range(10)]


class SpoolRig:
    """A spool with its books, and a queue to fill it from."""

    def __init__(self, directory: Path, queue: MessageQueue, **limits: int) -> None:
        self.telemetry = Telemetry()
        self.queue = queue
        sizes = {"max_bytes": 1 << 20, "dead_max_bytes": 1 << 20} | limits
        self.disk = FailingDisk()
        self.spool = Spool(directory, "q", fsync=True, telemetry=self.telemetry, disk=self.disk, **sizes)

    def fill(self, events: list[bytes]) -> Batch:
        """Receive these events into a batch, and seal it."""
        opened = self.spool.create(body_limit_bytes=8192, message_size_bytes=1024)
        opened.state.queue_fd = self.queue.fd
        for event in events:
            assert self.queue.send(event)
        PythonLoop().receive(opened.state, opened.memory)
        sealed = self.spool.seal(opened)
        assert sealed is not None
        self.spool.received(sealed)
        return sealed

    def ledger(self) -> Ledger:
        self.telemetry.spooled = self.spool.events
        return self.telemetry.ledger()


@pytest.fixture
def open_spool(tmp_path: Path, queue_name: str) -> Callable[..., SpoolRig]:
    """Open a spool as one process after the other would; each releases its slot when it is opened again."""
    opened: list[SpoolRig] = []
    queue = MessageQueue.open(queue_name, max_messages=10, max_message_size=1024)

    def open_it(*, beside: bool = False, **limits: int) -> SpoolRig:
        if opened and not beside:
            opened[-1].spool.close()
        opened.append(SpoolRig(tmp_path / "spool", queue, **limits))
        return opened[-1]

    return open_it


def contents(batch: Batch) -> records.Contents:
    return records.read_records(batch.path.read_bytes())


def open_file(rig: SpoolRig, sequence: int) -> Path:
    return rig.spool.directory / f"{sequence:012d}.open"


# --- what is left is found -------------------------------------------------------------------------------


def test_sealed_batches_are_found_again_oldest_first_and_in_the_books(
    open_spool: Callable[..., SpoolRig],
) -> None:
    first = open_spool()
    paths = [first.fill(EVENTS[:3]).path, first.fill(EVENTS[3:]).path]
    second = open_spool()
    assert [batch.path for batch in second.spool.recovered] == paths
    assert (second.ledger().recovered, second.ledger().spooled, second.ledger().unaccounted) == (10, 10, 0)


def test_new_batches_get_higher_numbers_than_those_that_were_left(open_spool: Callable[..., SpoolRig]) -> None:
    left = open_spool().fill(EVENTS)
    assert open_spool().fill(EVENTS).sequence > left.sequence


def test_batch_left_open_is_sealed_under_its_id(open_spool: Callable[..., SpoolRig]) -> None:
    image = records.write_records(records.new_header(), EVENTS) + bytes(4096)
    open_file(open_spool(), 7).write_bytes(image)
    (batch,) = open_spool().spool.recovered
    assert (batch.sequence, batch.events) == (7, 10)
    assert contents(batch) == records.read_records(image)


def test_event_that_was_on_its_way_into_an_open_batch_is_kept(open_spool: Callable[..., SpoolRig]) -> None:
    received = records.RECORD_HEADER.pack(records.MAGIC, 0, 0, 0) + b'{"n":10}' + bytes(2000)
    open_file(open_spool(), 7).write_bytes(records.write_records(records.new_header(), EVENTS) + received)
    (batch,) = open_spool().spool.recovered
    assert contents(batch).events == [*EVENTS, b'{"n":10}']


@pytest.mark.parametrize("image", [b"", bytes(5000), records.write_header(records.new_header()) + bytes(5000)])
def test_open_batch_without_events_leaves_no_trace(open_spool: Callable[..., SpoolRig], image: bytes) -> None:
    first = open_spool()
    open_file(first, 7).write_bytes(image)
    second = open_spool()
    assert second.spool.recovered == []
    assert second.ledger().unaccounted == second.ledger().dropped == 0
    assert [path.name for path in second.spool.directory.iterdir()] == []


def test_damaged_record_of_an_open_batch_is_counted_and_a_copy_kept(
    open_spool: Callable[..., SpoolRig],
) -> None:
    first = open_spool()
    image = bytearray(records.write_records(records.new_header(), EVENTS))
    image[records.HEADER_BYTES + 18] ^= 1
    open_file(first, 7).write_bytes(image)
    second = open_spool()
    (batch,) = second.spool.recovered
    (good,) = second.spool.vet(batch, contents(batch))
    assert contents(good).events == EVENTS[1:]
    assert (second.ledger().dropped, second.ledger().unaccounted) == (1, 0)
    (copy,) = (second.spool.directory.parent / "damaged").iterdir()
    assert copy.read_bytes() == image


# --- slots -----------------------------------------------------------------------------------------------


def test_two_sidecars_on_one_queue_take_two_slots(open_spool: Callable[..., SpoolRig]) -> None:
    assert open_spool().spool.directory.name == "0"
    assert open_spool(beside=True).spool.directory.name == "1"


def test_slot_of_a_dead_sidecar_is_adopted(open_spool: Callable[..., SpoolRig]) -> None:
    first, second = open_spool(), open_spool(beside=True)
    first.fill(EVENTS[:4])
    second.fill(EVENTS[4:])
    open_file(second, 9).write_bytes(records.write_records(records.new_header(), EVENTS))
    first.spool.close()
    second.spool.close()
    third = open_spool(beside=True)
    assert third.spool.directory.name == "0"
    assert [event for batch in third.spool.recovered for event in contents(batch).events] == EVENTS + EVENTS


def test_slot_in_use_is_left_alone(open_spool: Callable[..., SpoolRig]) -> None:
    open_spool().fill(EVENTS)
    assert open_spool(beside=True).spool.recovered == []


# --- splitting -------------------------------------------------------------------------------------------


def test_split_replaces_a_batch_by_parts_with_ids_of_their_own(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool()
    batch = rig.fill(EVENTS)
    batch_id = contents(batch).batch_id
    assert batch_id is not None
    parts = rig.spool.split(
        batch, contents(batch), [range(5), range(6, 10)], {5: Cause(DeadReason.REJECTED, 400, "bad")}
    )
    assert [contents(part).events for part in parts] == [EVENTS[:5], EVENTS[6:]]
    assert [contents(part).batch_id for part in parts] == [
        wire.part_batch_id(batch_id, range(5)),
        wire.part_batch_id(batch_id, range(6, 10)),
    ]
    assert not batch.path.exists()
    assert (rig.ledger().spooled, rig.ledger().dead, rig.ledger().unaccounted) == (9, 1, 0)


def test_dead_letter_says_what_when_and_why(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool()
    batch = rig.fill([b'{"n":1}'])
    batch.attempts = 3
    before = contents(batch)
    rig.spool.split(batch, before, [], {0: Cause(DeadReason.REJECTED, 422, "n: expected text")})
    (path,) = (rig.spool.directory.parent / "dead").iterdir()
    letter = json.loads(path.read_text())
    assert letter.pop("died_at").endswith("Z")
    assert letter == {
        "refused_at": None, "queue": "q", "reason": "rejected", "status": 422, "detail": "n: expected text",
        "batch_id": before.batch_id, "index": 0, "attempts": 3, "version": None,
        "event": '{"n":1}',
    }  # fmt: skip


def test_dead_letters_are_bounded_and_what_does_not_fit_is_counted_where_it_may_be_dropped(
    open_spool: Callable[..., SpoolRig],
) -> None:
    rig = open_spool(dead_max_bytes=300, when_dead_full="drop")
    batch = rig.fill(EVENTS[:3])
    rig.spool.split(batch, contents(batch), [], dict.fromkeys(range(3), Cause(DeadReason.REJECTED)))
    assert (rig.ledger().dead, rig.ledger().dropped, rig.ledger().unaccounted) == (1, 2, 0)


def test_events_without_room_for_their_letters_wait_and_all_others_go_on(
    open_spool: Callable[..., SpoolRig],
) -> None:
    """Nothing is lost by default: what waits is buried once there is room, without being sent again."""
    rig = open_spool(dead_max_bytes=300)
    batch = rig.fill(EVENTS)
    causes = dict.fromkeys(range(2, 5), Cause(DeadReason.REJECTED, 422, "bad"))
    rest, waiting = rig.spool.split(batch, contents(batch), [[0, 1, 5, 6, 7, 8, 9]], causes)
    assert not rest.causes
    assert contents(rest).events == EVENTS[:2] + EVENTS[5:]
    assert (contents(waiting).events, list(waiting.causes)) == (EVENTS[3:5], [0, 1])
    assert (rig.ledger().dead, rig.ledger().dropped, rig.ledger().spooled) == (1, 0, 9)
    assert rig.spool.bury(waiting) == [waiting], "there is no room yet"
    dead = rig.spool.directory.parent / "dead"
    for event in (EVENTS[3], EVENTS[4]):
        for path in dead.iterdir():
            path.unlink()
        left = rig.spool.bury(waiting)
        assert [json.loads(path.read_text())["event"].encode() for path in dead.iterdir()] == [event]
        waiting = left[0] if left else waiting
    assert left == []
    assert (rig.ledger().dead, rig.ledger().spooled, rig.ledger().unaccounted) == (3, 7, 0)


def test_a_single_event_without_room_for_its_letter_stays_as_it_is(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool(dead_max_bytes=1)
    batch = rig.fill(EVENTS[:1])
    assert rig.spool.split(batch, contents(batch), [], {0: Cause(DeadReason.TOO_LARGE, 413)}) == [batch]
    assert batch.path.exists()
    assert rig.ledger().spooled == 1


def test_malformed_events_without_room_for_their_letters_wait_too(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool(dead_max_bytes=1)
    batch = rig.fill([b" {} ", b"garbage", b"[1]"])
    good, waiting = rig.spool.vet(batch, contents(batch))
    assert (contents(good).events, contents(waiting).events) == ([b"{}"], [b"garbage", b"[1]"])
    assert {cause.reason for cause in waiting.causes.values()} == {DeadReason.MALFORMED}


def test_events_that_wait_for_room_are_found_again_by_the_next_process(
    open_spool: Callable[..., SpoolRig],
) -> None:
    rig = open_spool(dead_max_bytes=1)
    batch = rig.fill(EVENTS[:3])
    rig.spool.split(batch, contents(batch), [[0, 2]], {1: Cause(DeadReason.REJECTED)})
    found = open_spool().spool.recovered
    assert [contents(part).events for part in found] == [[EVENTS[0], EVENTS[2]], [EVENTS[1]]]


def test_copies_of_damaged_files_are_bounded_and_those_that_are_not_kept_are_counted(
    open_spool: Callable[..., SpoolRig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = open_spool(dead_max_bytes=500)
    batches = [rig.fill(EVENTS) for _ in range(3)]
    size = batches[0].size_bytes
    assert 250 < size < 500
    for batch in batches:
        image = batch.path.read_bytes()
        batch.path.write_bytes(image.replace(EVENTS[4], b"?" * len(EVENTS[4])))
        rig.spool.vet(batch, contents(batch))
    damaged = rig.spool.directory.parent / "damaged"
    (kept,) = damaged.iterdir()
    assert "is as large as dead_letters.max_size; check its files, and remove some" in caplog.text
    assert rig.telemetry._counts["copies.missed"] == 2
    assert (rig.ledger().dropped, rig.ledger().spooled, rig.ledger().unaccounted) == (3, 27, 0)
    kept.unlink()
    last = rig.fill(EVENTS)
    last.path.write_bytes(last.path.read_bytes().replace(EVENTS[4], b"?" * len(EVENTS[4])))
    rig.spool.vet(last, contents(last))
    assert len(list(damaged.iterdir())) == 1, "there is room again"


def test_split_that_was_not_finished_is_forgotten(open_spool: Callable[..., SpoolRig]) -> None:
    first = open_spool()
    batch = first.fill(EVENTS)
    staging = first.spool.directory / f"{batch.sequence:012d}.splitting"
    staging.mkdir()
    (staging / "000000000008.5.batch").write_bytes(b"half")
    (found,) = open_spool().spool.recovered
    assert contents(found).events == EVENTS
    assert not staging.exists()


def test_split_that_was_finished_is_taken_over_wherever_it_was_interrupted(
    open_spool: Callable[..., SpoolRig],
) -> None:
    first = open_spool()
    batch = first.fill(EVENTS)
    finished = first.spool.directory / f"{batch.sequence:012d}.split"
    finished.mkdir()
    (finished / "000000000008.5.batch").write_bytes(records.write_records(records.new_header(), EVENTS[:5]))
    (finished / "x-00000.json").write_text("{}")
    second = open_spool()
    assert [contents(found).events for found in second.spool.recovered] == [EVENTS[:5]]
    assert [path.name for path in (second.spool.directory.parent / "dead").iterdir()] == ["x-00000.json"]
    assert not finished.exists()


def test_failed_split_leaves_the_batch_as_it_was(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool()
    batch = rig.fill(EVENTS)
    rig.disk.fail_at(4, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        rig.spool.split(batch, contents(batch), [range(5), range(5, 10)], {})
    rig.disk.fail_at(4, for_ever=True)
    with pytest.raises(OSError, match="No space left"):
        rig.spool.split(batch, contents(batch), [range(5), range(5, 10)], {})
    assert contents(batch).events == EVENTS
    assert (rig.ledger().spooled, rig.ledger().unaccounted) == (10, 0)


# --- damage and malformed events -------------------------------------------------------------------------


def test_vetting_separates_malformed_and_damaged_from_good(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool()
    batch = rig.fill([b'{"n":0}', b"garbage", b'{"n":2}', b'{"n":3}'])
    image = bytearray(batch.path.read_bytes())
    image[image.index(b'{"n":2}')] ^= 1
    batch.path.write_bytes(image)
    (good,) = rig.spool.vet(batch, contents(batch))
    assert contents(good).events == [b'{"n":0}', b'{"n":3}']
    ledger = rig.ledger()
    assert (ledger.dead, ledger.dropped, ledger.spooled, ledger.unaccounted) == (1, 1, 2, 0)


def test_batch_that_is_all_damage_is_counted_and_removed(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool()
    batch = rig.fill(EVENTS)
    batch.path.write_bytes(b"\0" * 500)
    assert rig.spool.vet(batch, contents(batch)) == []
    assert (rig.ledger().dropped, rig.ledger().spooled, rig.ledger().unaccounted) == (10, 0, 0)


def test_damaged_header_keeps_the_events_under_an_id_that_stays_the_same(
    open_spool: Callable[..., SpoolRig],
) -> None:
    rig = open_spool()
    batch = rig.fill(EVENTS)
    batch.path.write_bytes(b"\0" * 64 + batch.path.read_bytes()[64:])
    damaged = contents(batch)
    (part,) = rig.spool.vet(batch, damaged)
    assert contents(part).events == EVENTS
    assert contents(part).batch_id is not None


# --- limits and safety -----------------------------------------------------------------------------------


def test_spool_has_room_until_its_limit(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool(max_bytes=30_000)
    filled = []
    while rig.spool.has_room():
        filled.append(rig.fill([b'{"pad":"%s"}' % (b"x" * 1000)] * 5))
    rig.spool.delivered(filled[0])
    assert rig.spool.has_room()
    rig.spool.drop(filled[1], DropReason.SPOOL_FULL_OLDEST)
    assert rig.ledger().unaccounted == 0


def test_an_empty_spool_takes_a_batch_however_low_its_limit(open_spool: Callable[..., SpoolRig]) -> None:
    """A limit below one batch file would else be a spool that is full for ever."""
    rig = open_spool(max_bytes=100)
    batch = rig.fill(EVENTS)
    assert not rig.spool.has_room()
    rig.spool.delivered(batch)
    assert rig.spool.has_room()


def test_folders_are_private_whatever_the_umask(open_spool: Callable[..., SpoolRig]) -> None:
    before = os.umask(0)
    try:
        rig = open_spool()
        batch = rig.fill(EVENTS)
    finally:
        os.umask(before)
    for folder in (rig.spool.directory, *list(rig.spool.directory.parents)[:2]):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert batch.path.stat().st_mode & 0o777 == 0o600


def test_folder_that_others_may_write_to_is_refused(
    open_spool: Callable[..., SpoolRig], tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o772)
    with pytest.raises(SpoolError, match="chmod 700"):
        open_spool()


def test_link_in_place_of_the_folder_is_refused(open_spool: Callable[..., SpoolRig], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolError, match="a link"):
        open_spool()


def test_file_that_cannot_be_made_leaves_nothing_behind(open_spool: Callable[..., SpoolRig]) -> None:
    rig = open_spool()
    with pytest.raises(OSError, match=r"No space left|File too large|Invalid"):
        rig.spool.create(body_limit_bytes=1 << 55, message_size_bytes=1024)
    assert [path.name for path in rig.spool.directory.iterdir()] == []
