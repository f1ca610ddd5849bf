"""The spool of one sidecar: its slot's batch files, the queue's dead letters, and how much there is of each.

What it holds is what the folder holds; the numbers it keeps in memory are for the books and for the limits.
`create` and `seal` may run in another thread than the rest, one call of each at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Literal

from eventpub.process.descriptors import name_remedy
from eventpub.sidecar.telemetry.reasons import DropReason

from . import records
from .batch import OpenBatch, capacity_of, read_file
from .books import Books
from .disk import Disk
from .errors import REPAIR, SpoolDiskError
from .folder import DAMAGED, DEAD, RESERVE
from .plan import sift_events
from .quota import Quota
from .recovery import recover_slots
from .reserve import Reserve
from .slot import claim_slot, make_private
from .splitter import Splitter
from .staging import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .batch import Batch
    from .dead_letters import Cause

_SLACK_BYTES = 64 * 1024  # of the reserve: for headers, dead letters, and blocks that parts do not fill


class Spool:
    """The batch files of one sidecar.

    Args:
        directory: `spool.dir`; made with mode 0700 where it does not exist.
        queue: the queue's name.
        max_bytes: how much the batch files may take together, sealed or not, once those received now are full.
        dead_max_bytes: how much the dead letters may take together, and likewise the copies of damaged files.
        when_dead_full: whether events for whose letters there is no room wait in the spool, or are dropped.
        fsync: have batches on the disk, not only in the page cache, when they are sealed.
        telemetry: the books.
        disk: the file system.

    Attributes:
        recovered: the batches an earlier process left, oldest first.
        books: what it holds, and since when.
        unsealed_bytes: how much the batches take that are received and wait to be sealed.

    Raises:
        SpoolError: the folder cannot be used.
        SpoolDiskError: its disk is full or fails; nothing is lost, and it may be tried again.
    """

    def __init__(
        self,
        directory: Path,
        queue: str,
        *,
        max_bytes: int,
        dead_max_bytes: int,
        when_dead_full: Literal["block", "drop"] = "block",
        fsync: bool,
        telemetry: Telemetry,
        disk: Disk | None = None,
    ) -> None:
        self._disk = disk or Disk()
        self._max_bytes = max_bytes
        self._fsync = fsync
        self._telemetry = telemetry
        self._stage = telemetry.progress.store
        self.books = Books(telemetry)
        self._reserved_bytes = self.unsealed_bytes = 0
        make_private(directory)
        base = directory / queue
        self._slot, orphans = claim_slot(base)
        self.directory = self._slot.directory
        dead, damaged = base / DEAD, base / DAMAGED
        self._reserve = Reserve(base / RESERVE, self.directory.name, self._disk)
        try:
            for name in (DEAD, DAMAGED, RESERVE):
                make_private(base / name)
            self._copy_quota = Quota(damaged, dead_max_bytes)
            self._folder, self._sequences = recover_slots(
                self._slot, orphans, (dead, damaged), self._disk, fsync=fsync, books=self.books
            )
            self.recovered = self._folder.batches()
            self._book_recovered()
            letters = Quota(dead, dead_max_bytes)
            self._splitter = Splitter(
                queue, self._folder.staging, self._reserve, letters, self._sequences, when_full=when_dead_full
            )
        except BaseException as error:
            for slot in (self._slot, *orphans):
                slot.release()
            if not isinstance(error, OSError):
                raise
            raise SpoolDiskError(
                str(base), f"cannot be read back: {error}; {name_remedy(error, REPAIR)}"
            ) from error

    def _book_recovered(self) -> None:
        for batch in self.recovered:
            self.books.recover(batch)
        if self.recovered:
            with contextlib.suppress(OSError):  # what is delivered frees some
                self._reserve.hold(_SLACK_BYTES + max(batch.size_bytes for batch in self.recovered))

    def recover_unread(self) -> Iterator[Batch]:
        """Yield the batches of files that could not be read at the start, as soon as they can be.

        Raises:
            OSError: the disk failed; call it again for the others.
        """
        for batch in self._folder.restore_unread():
            self.books.recover(batch)
            yield batch

    @property
    def events(self) -> int:
        """How many events are in sealed batches."""
        return self.books.events

    @property
    def size_bytes(self) -> int:
        """How many bytes sealed batches take."""
        return self.books.size_bytes

    def has_room(self) -> bool:
        """Tell whether what may be received now fits below `max_bytes`; an empty spool takes any batch."""
        taken_bytes = self.size_bytes + self.unsealed_bytes
        return not taken_bytes or taken_bytes + self._reserved_bytes <= self._max_bytes

    def expect(self, *, body_limit_bytes: int, message_size_bytes: int) -> None:
        """Note how large the batches will be that are to be received, as for `create`."""
        capacity = capacity_of(body_limit_bytes, message_size_bytes)
        self._reserved_bytes = 2 * capacity  # the one that fills and the spare

    def create(self, *, body_limit_bytes: int, message_size_bytes: int) -> OpenBatch:
        """Make the next batch file, with its space reserved, and the space for taking it apart before that.

        Raises:
            OSError: the disk is full or unusable; nothing is left behind.
        """
        # the larger of a full batch's parts and a message's letter, of which base64 takes 4/3
        self._reserve.hold(max(body_limit_bytes * 9 // 8, message_size_bytes * 2) + _SLACK_BYTES)
        batch = OpenBatch(
            self.directory,
            next(self._sequences),
            self._disk,
            body_limit_bytes=body_limit_bytes,
            message_size_bytes=message_size_bytes,
        )
        self.expect(body_limit_bytes=body_limit_bytes, message_size_bytes=message_size_bytes)
        return batch

    def seal(self, batch: OpenBatch) -> Batch | None:
        """Finish an open batch; None if nothing was received into it.

        Raises:
            OSError: the disk failed; the file is kept as it is and read back at the next start.
        """
        return batch.seal(fsync=self._fsync)

    def leave_open(self, batch: OpenBatch) -> None:
        """Leave an open batch that cannot be sealed to the next start; count it where its file is gone."""
        if batch.state.events and not batch.path.exists():
            self.books.lose_open(batch)

    def received(self, batch: Batch) -> None:
        """Enter a batch that was just sealed into the books."""
        self.books.receive(batch)

    def delivered(self, batch: Batch) -> None:
        """Remove a batch that the collector has.

        Raises:
            OSError: it cannot be removed; it is still in the books, and may be delivered again under its id.
        """
        with self._stage.doing("removing a batch"):
            self._disk.remove(batch.path)
        self.books.deliver(batch)

    def drop(self, batch: Batch, reason: DropReason) -> None:
        """Remove a batch that nobody will get.

        Raises:
            OSError: it cannot be removed; it is still in the books.
        """
        self._disk.remove(batch.path)
        self.books.lose(batch, reason)

    def add_report(self, report: bytes, version: str) -> Batch:
        """Keep a loss report as a batch of its own, and return that.

        Raises:
            OSError: the disk is full or unusable; there is no such batch.
        """
        batch = self._folder.staging.add(Part(next(self._sequences), records.new_header(version), [report]))
        batch.is_report = True
        self.received(batch)
        return batch

    def read(self, batch: Batch) -> bytes | None:
        """Return the bytes of a batch's file; None if it was removed, which is counted.

        Raises:
            OSError: it cannot be read now, which says nothing about what is in it.
        """
        try:
            with self._stage.doing("reading a batch"):
                return read_file(batch.path)
        except FileNotFoundError:
            if self._slot.is_moved():  # and the batch with it
                raise
        self.books.lose(batch, DropReason.MISSING)
        return None

    def vet(self, batch: Batch, contents: records.Contents) -> list[Batch]:
        """Separate what can be sent from a batch that cannot be packed as it is.

        Events lose the white space around them; malformed ones become dead letters; damaged records are counted
        as dropped, and a copy of the file is kept. Returns the batches that replace it.

        Raises:
            OSError: the disk failed; the batch stays as it was.
        """
        is_damaged = contents.damaged or len(contents.events) != batch.events
        if is_damaged and (why := self._folder.keep_copy(batch.path, self._copy_quota)):
            self._telemetry.copy_missed(batch.path, why)
        sifted = sift_events(contents.events)
        bare = dataclasses.replace(contents, events=sifted.events)
        return self.split(batch, bare, [sifted.good], sifted.buried)

    def bury(self, batch: Batch) -> list[Batch]:
        """Try again to make dead letters of a batch that waits for room; return what still waits.

        Raises:
            OSError: the disk failed; the batch stays as it was.
        """
        image = self.read(batch)
        if image is None:
            return []
        contents = records.read_records(image)
        if len(contents.events) != batch.events:  # damaged meanwhile: which is which cannot be told
            return self.vet(batch, contents)
        return self.split(batch, contents, [], batch.causes)

    def split(
        self,
        batch: Batch,
        contents: records.Contents,
        groups: Sequence[Sequence[int]],
        buried: Mapping[int, Cause],
    ) -> list[Batch]:
        """Replace a batch by its parts, all at once: a process killed meanwhile leaves either.

        Args:
            batch: the batch to be replaced.
            contents: what it holds.
            groups: the places of the events of each new batch; one without events is left out.
            buried: the places of the events that become dead letters, and why.

        Returns:
            The new batches, in the order of `groups`; at the end one with `causes`, where dead events have to
            wait for room: give it to `bury` later. Ids are derived from the batch's and the places, so they are
            the same if it has to be split again.

        Raises:
            OSError: the disk failed, or has no room even for the parts; the batch stays as it was.
        """
        with self._stage.doing("splitting a batch"):
            plan, parts = self._splitter.split(batch, contents, groups, buried)
        self._telemetry.letters_waiting(len(plan.waiting))
        if parts is None:
            batch.causes = plan.waiting
            return [batch]
        self.books.split(batch, contents, plan, parts)
        return parts

    def is_in_place(self) -> bool:
        """Tell whether the folder is still the one this process owns, as `Slot.is_in_place` does."""
        return self._slot.is_in_place()

    def close(self) -> None:
        """Release the slot; the batches stay for the next process."""
        self._slot.release()
