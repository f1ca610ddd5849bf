"""The file system as the spool uses it: every call that changes something on disk, and no others.

Here tests make a disk full, make it fail, or kill the process. Methods raise only OSError. Names and sizes are
read directly, not through this module: reading changes nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


RETRY_SECONDS = 1.0  # how soon a full or failing disk is tried again
_ZEROS = memoryview(bytes(128 * 1024))  # a call takes 1,024 such pieces, more than the largest batch needs


def _give_to_owner(fd: int, path: Path) -> None:
    try:
        folder = path.parent.stat()
        if folder.st_uid != 0:
            os.fchown(fd, folder.st_uid, folder.st_gid)
    except OSError:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise


class Disk:
    """The operating system's file system."""

    def create(self, path: Path) -> int:
        """Create a file that only its owner may read, and return its descriptor; it must not exist.

        What root creates belongs to the owner of the folder, or the sidecar could not read it.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.geteuid() == 0:
            _give_to_owner(fd, path)
        return fd

    def reserve(self, fd: int, size_bytes: int) -> None:
        """Allocate the blocks of a file, so that writing to its mapping cannot fail on a full disk.

        Writing zeros makes its pages resident, at half the cost of a page fault for each message.
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
        """Make the bytes of a file survive a power cut."""
        os.fdatasync(fd)

    def sync_directory(self, directory: Path) -> None:
        """Make the names in a folder survive a power cut."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file or folder; a file that has the new name is replaced."""
        source.rename(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file, if it exists."""
        path.unlink(missing_ok=True)

    def make_directory(self, directory: Path) -> None:
        """Create a folder that only its owner may enter; it must not exist."""
        directory.mkdir(mode=0o700)

    def remove_directory(self, directory: Path) -> None:
        """Remove an empty folder."""
        directory.rmdir()
