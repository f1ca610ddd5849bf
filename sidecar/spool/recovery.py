"""What earlier processes left, in this slot and in those of dead sidecars -> one folder of whole batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .folder import RESERVE, Folder
from .reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .books import Books
    from .disk import Disk
    from .slot import Slot


def recover_slots(
    slot: Slot, orphans: list[Slot], aside: tuple[Path, Path], disk: Disk, *, fsync: bool, books: Books
) -> tuple[Folder, Iterator[int]]:
    """Read a slot's folder back, have it adopt those of dead sidecars, and release these.

    Args:
        slot: this sidecar's.
        orphans: the slots of dead sidecars, which this process owns until then.
        aside: the folders of dead letters and of damaged files.
        disk: the file system.
        fsync: have files on the disk before they get their names.
        books: are told what was damaged.

    Returns:
        The folder, and the numbers of its next files.

    Raises:
        OSError: the disk is full or fails; it may be tried again.
    """
    folder = _restore_folder(slot, aside, disk, fsync=fsync, books=books)
    numbers = folder.numbers()
    for orphan in orphans:
        folder.adopt(_restore_folder(orphan, aside, disk, fsync=fsync, books=books), numbers)
        Reserve(aside[0].parent / RESERVE, orphan.directory.name, disk).release()
        orphan.release()
    return folder, numbers


def _restore_folder(slot: Slot, aside: tuple[Path, Path], disk: Disk, *, fsync: bool, books: Books) -> Folder:
    dead, damaged = aside
    folder = Folder(slot.directory, dead, damaged, disk, fsync=fsync)
    folder.restore()
    for events in folder.take_cuts():
        books.recover_damaged(events)
    return folder
