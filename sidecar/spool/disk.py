"""The file system as the spool uses it: every call that changes what is on the disk, and no other.

It is the seam at which tests make a disk full, failing, or the last thing a process ever touched. Methods raise
OSError and nothing else. Names and sizes are looked up directly, not here: reading changes nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


_ZEROS = memoryview(bytes(128 * 1024))  # a call takes 1,024 such pieces, more than the largest batch needs


class Disk:
    """The operating system's file system."""

    def create(self, path: Path) -> int:
        """Make a file that only its owner may read, and return its descriptor; there must be none yet."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def reserve(self, fd: int, size_bytes: int) -> None:
        """Have the blocks of a file allocated, so that writing to its mapping cannot fail for want of space.

        The zeros make its pages resident, at half the cost of a page fault each when messages are received.
        """
        os.posix_fallocate(fd, 0, size_bytes)
        whole, rest = divmod(size_bytes, len(_ZEROS))
        os.pwritev(fd, [_ZEROS] * whole + [_ZEROS[:rest]], 0)

    def write(self, fd: int, data: bytes) -> None:
        """Append all of `data` to a file."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut a file to its used length."""
        os.ftruncate(fd, size_bytes)

    def sync(self, fd: int) -> None:
        """Have the bytes of a file survive a power cut."""
        os.fdatasync(fd)

    def sync_directory(self, directory: Path) -> None:
        """Have the names in a folder survive a power cut."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name; a file that has that name is replaced."""
        source.rename(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file; it may be gone already."""
        path.unlink(missing_ok=True)

    def make_directory(self, directory: Path) -> None:
        """Make a folder that only its owner may enter; there must be none yet."""
        directory.mkdir(mode=0o700)

    def remove_directory(self, directory: Path) -> None:
        """Remove an empty folder."""
        directory.rmdir()
