"""Space that is kept free on the spool's disk, so that a batch can be split on a full disk.

The parts of a batch are written before its file goes, and a dead letter before its event does. On a full disk
nothing would ever go on: parts need space, and only what is taken apart can be delivered and frees some. So a
few files are held that nothing is in. They are given up for the moment of a change that finds the disk full,
and taken back before anything else is received: what the batch took is free by then.

There are several, since a disk may have no room for another file either, whatever its size.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .disk import Disk

_PIECES = 4  # files: the most that are made at once when a batch is taken apart on a full disk
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Reserve:
    """The files that keep space free for one slot.

    Args:
        directory: the folder they are in.
        slot: the slot's name.
        disk: the file system.

    Attributes:
        is_whole: whether all of it is held.
    """

    def __init__(self, directory: Path, slot: str, disk: Disk) -> None:
        self.is_whole = False
        self._pieces = [directory / f"{slot}-{number}.reserve" for number in range(_PIECES)]
        self._piece_bytes = 0
        self._is_lent = False
        self._disk = disk

    def hold(self, size_bytes: int = 0) -> None:
        """Keep `size_bytes` free from now on, or as much as before if that was more.

        Raises:
            OSError: there is not so much; what there is is held.
        """
        piece_bytes = max(self._piece_bytes, -(-size_bytes // _PIECES))
        if self.is_whole and piece_bytes == self._piece_bytes:
            return
        if self._is_lent:
            raise OSError(errno.ENOSPC, "a batch is being taken apart")
        self._piece_bytes = piece_bytes
        self.is_whole = False
        for piece in self._pieces:
            if not piece.exists():
                self._make(piece)
            elif piece.stat().st_size < piece_bytes:
                self._disk.remove(piece)
                self._make(piece)
        self.is_whole = not self._is_lent  # it may have been given up meanwhile, in another thread

    @contextlib.contextmanager
    def lend(self) -> Iterator[None]:
        """Give it up within the block, and take it back as far as that is possible then."""
        self._is_lent, self.is_whole = True, False
        try:
            self.release()
            yield
        finally:
            self._is_lent = False
            with contextlib.suppress(OSError):  # it is tried again before anything is received
                self.hold()

    def release(self) -> None:
        """Give it up."""
        self.is_whole = False
        for piece in self._pieces:
            self._disk.remove(piece)

    def _make(self, piece: Path) -> None:
        fd = self._disk.create(piece)
        try:
            self._disk.reserve(fd, self._piece_bytes)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.remove(piece)
            raise
        finally:
            os.close(fd)


def is_full(error: OSError) -> bool:
    """Tell whether an error says that the disk, or this user's part of it, is full."""
    return error.errno in _FULL
