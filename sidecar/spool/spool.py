"""The spool of one sidecar: its slot's batch files, the queue's dead letters, and how much there is of each.

What it holds is what the folder holds; the numbers it keeps in memory are for the books and for the limits.
`create` and `seal` may run in another thread than the rest, one call of each at a time.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from eventpub import wire
from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason

from . import dead_letters, records
from .batch import OpenBatch
from .dead_letters import Cause
from .disk import Disk
from .errors import SpoolDiskError
from .folder import DAMAGED, DEAD, Folder, Part
from .framing import is_one_object
from .quota import Quota
from .slot import claim_slot, make_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .batch import Batch
    from .slot import Slot

logger = logging.getLogger(__name__)

_WHITE_SPACE = b" \t\n\r"  # around a JSON text, RFC 8259, section 2


class Spool:
    """The batch files of one sidecar.

    Args:
        directory: `spool.dir`; made with mode 0700 where it does not exist.
        queue: the queue's name.
        max_bytes: how much the batch files may take together.
        dead_max_bytes: how much the dead letters may take together, and likewise the copies of damaged files.
        fsync: have batches on the disk, not only in the page cache, when they are sealed.
        telemetry: the books.
        disk: the file system.

    Attributes:
        recovered: the batches an earlier process left, oldest first.
        events: events in sealed batches.
        size_bytes: bytes of sealed batches.

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
        fsync: bool,
        telemetry: Telemetry,
        disk: Disk | None = None,
    ) -> None:
        self._disk = disk or Disk()
        self._queue = queue
        self._max_bytes = max_bytes
        self._fsync = fsync
        self._telemetry = telemetry
        self.events = 0
        self.size_bytes = 0
        self._reserved_bytes = 0

        make_private(directory)
        base = directory / queue
        self._slot, orphans = claim_slot(base)
        self.directory = self._slot.directory
        self._dead, self._damaged = base / DEAD, base / DAMAGED
        try:
            for folder in (self._dead, self._damaged):
                make_private(folder)
            self._dead_quota = Quota(self._dead, dead_max_bytes)
            self._copy_quota = Quota(self._damaged, dead_max_bytes)
            self._recover(orphans)
        except BaseException as error:
            for slot in (self._slot, *orphans):
                slot.release()
            if isinstance(error, OSError):
                raise SpoolDiskError(
                    str(base), f"cannot be read back: {error}; free or mend the disk"
                ) from error
            raise

    def _recover(self, orphans: list[Slot]) -> None:
        """Find what earlier processes left, in this slot and in those of dead sidecars, and book it."""
        self._folder = self._folder_of(self._slot)
        self._folder.restore()
        self._count_cuts(self._folder)
        self._sequences = self._folder.numbers()
        for orphan in orphans:
            left = self._folder_of(orphan)
            left.restore()
            self._count_cuts(left)
            self._folder.adopt(left, self._sequences)
            orphan.release()
        self.recovered = self._folder.batches()
        for batch in self.recovered:
            self._admit(batch)
            self._telemetry.recovered(batch.events)

    def _count_cuts(self, folder: Folder) -> None:
        for events in folder.take_cuts():
            self._telemetry.recovered(events)
            self._telemetry.dropped(events, DropReason.DAMAGED)

    def _folder_of(self, slot: Slot) -> Folder:
        return Folder(slot.directory, self._dead, self._damaged, self._disk, fsync=self._fsync)

    def __repr__(self) -> str:
        return f"<Spool {self.directory} events={self.events} bytes={self.size_bytes}>"

    def has_room(self) -> bool:
        """Tell whether another open batch fits below `max_bytes`; an empty spool takes one of any size."""
        return not self.size_bytes or self.size_bytes + self._reserved_bytes <= self._max_bytes

    def create(self, *, body_limit_bytes: int, message_size_bytes: int) -> OpenBatch:
        """Make the next batch file, with its space reserved.

        Raises:
            OSError: the disk is full or unusable; nothing is left behind.
        """
        batch = OpenBatch(
            self.directory,
            next(self._sequences),
            self._disk,
            body_limit_bytes=body_limit_bytes,
            message_size_bytes=message_size_bytes,
        )
        self._reserved_bytes = 2 * batch.state.size  # the one that fills and the spare
        return batch

    def seal(self, batch: OpenBatch) -> Batch | None:
        """Finish an open batch; None if nothing was received into it.

        Raises:
            OSError: the disk failed; the file is kept as it is and read back at the next start.
        """
        return batch.seal(fsync=self._fsync)

    def received(self, batch: Batch) -> None:
        """Enter a batch that was just sealed into the books."""
        self._admit(batch)
        self._telemetry.received(batch.events, batch.size_bytes)

    def delivered(self, batch: Batch) -> None:
        """Remove a batch that the collector has.

        Raises:
            OSError: it cannot be removed; it is still in the books, and may be delivered again under its id.
        """
        self._disk.remove(batch.path)
        self._dismiss(batch)
        self._telemetry.delivered(batch.events, batch.size_bytes)
        if batch.is_report:
            self._telemetry.losses.settle()

    def drop(self, batch: Batch, reason: DropReason) -> None:
        """Remove a batch that nobody will get.

        Raises:
            OSError: it cannot be removed; it is still in the books.
        """
        self._disk.remove(batch.path)
        self._dismiss(batch)
        self._lose(batch, batch.events, reason)

    def add_report(self, report: bytes, version: str) -> Batch:
        """Keep a loss report as a batch of its own, and return that.

        Raises:
            OSError: the disk is full or unusable; there is no such batch.
        """
        batch = self._folder.add(Part(next(self._sequences), records.new_header(version), [report]))
        batch.is_report = True
        self.received(batch)
        return batch

    def missing(self, batch: Batch) -> None:
        """Take a batch out of the books whose file somebody removed, or put something else in place of."""
        self._dismiss(batch)
        self._lose(batch, batch.events, DropReason.MISSING)

    def vet(self, batch: Batch, contents: records.Contents) -> list[Batch]:
        """Separate what can be sent from a batch that cannot be packed as it is.

        Events lose the white space around them; malformed ones become dead letters; damaged records are counted
        as dropped, and a copy of the file is kept. Returns the batches that replace it.
        """
        is_damaged = contents.damaged or len(contents.events) != batch.events
        if is_damaged and (why := self._folder.keep_copy(batch.path, self._copy_quota)):
            self._telemetry.copy_missed(batch.path, why)
        events = contents.events
        bare = [event.strip(_WHITE_SPACE) for event in events]
        good = {index: event for index, event in enumerate(bare) if is_one_object(event)}
        cause = Cause(DeadReason.MALFORMED, detail="the message is not one JSON object")
        buried = {index: cause for index in range(len(events)) if index not in good}
        kept = [good.get(index, event) for index, event in enumerate(events)]
        return self.split(batch, replace(contents, events=kept), [list(good)], buried)

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
            The new batches, in the order of `groups`. Their ids are derived from the batch's and the places,
            so they are the same if it has to be split again.

        Raises:
            OSError: the disk is full or unusable; the batch stays as it was.
        """
        header = header_of(batch, contents)
        batch_id = header.batch_id
        parts = [
            Part(
                next(self._sequences),
                header.head_part(wire.part_batch_id(batch_id, group)),
                [contents.events[index] for index in group],
            )
            for group in groups
            if group
        ]
        letters = {
            index: dead_letters.write_letter(
                contents.events[index],
                cause,
                queue=self._queue,
                batch_id=batch_id,
                index=index,
                attempts=batch.attempts,
                version=header.version,
            )
            for index, cause in buried.items()
        }
        refused = {index for index, letter in letters.items() if not self._dead_quota.take(len(letter))}
        kept = {
            dead_letters.letter_name(batch_id, index): letters[index]
            for index in letters
            if index not in refused
        }
        try:
            replacements = self._folder.replace(batch, parts, kept)
        finally:
            self._dead_quota.settle()
        self._dismiss(batch)
        missing = batch.events - len(contents.events)  # below 0 where the file's name says too few
        self._lose(batch, max(0, missing), DropReason.DAMAGED)
        self._telemetry.recovered(max(0, -missing))
        for replacement in replacements:
            self._admit(replacement)
        for index, cause in buried.items():
            if index in refused:
                self._lose(batch, 1, DropReason.DEAD_LETTERS_FULL)
                continue
            self._telemetry.dead(1, cause.reason)
            if batch.is_report:
                self._telemetry.losses.settle()  # whoever looks at the letter sees what it tells
        return replacements

    def is_in_place(self) -> bool:
        """Tell whether the folder is still the one this process owns; somebody may have removed it."""
        return self._slot.is_in_place()

    def close(self) -> None:
        """Release the slot; the batches stay for the next process."""
        self._slot.release()

    def _lose(self, batch: Batch, events: int, reason: DropReason) -> None:
        """Count events that nobody will get."""
        if batch.is_report and events:
            self._telemetry.report_dropped()
        else:
            self._telemetry.dropped(events, reason)

    def _admit(self, batch: Batch) -> None:
        self.events += batch.events
        self.size_bytes += batch.size_bytes

    def _dismiss(self, batch: Batch) -> None:
        self.events -= batch.events
        self.size_bytes -= batch.size_bytes


def header_of(batch: Batch, contents: records.Contents) -> records.Header:
    """Return a batch's header; where it is damaged, one with an id derived from its name and events."""
    if contents.header:
        return contents.header
    digest = hashlib.blake2b(batch.path.name.encode(), digest_size=16)
    for event in contents.events:
        digest.update(event)
    return records.Header(digest.hexdigest(), time.time_ns() // 1000)
