"""Slots: which of a queue's folders is this sidecar's own.

Every sidecar on a queue owns one numbered folder by an exclusive lock on the folder itself, which the kernel
releases however the process ends; there is no lock file that could be stale, or removed under its owner.
Whoever starts takes the lowest free slot, and takes over the batches of all other free ones: their sidecars are
gone. Nobody touches a folder that somebody else has locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from .errors import SpoolError

if TYPE_CHECKING:
    from pathlib import Path

MAX_SLOTS = 64  # sidecars on one queue; two or three saturate a collector
_LOOK_SECONDS = 0.001  # `is_owned` holds a lock for some microseconds


class Slot:
    """An owned slot: its folder, and the lock that makes it ours until `release`."""

    def __init__(self, directory: Path, lock_fd: int) -> None:
        self.directory = directory
        self._lock_fd = lock_fd

    def __repr__(self) -> str:
        return f"<Slot {self.directory}>"

    def is_in_place(self) -> bool:
        """Tell whether the folder of that name is still the one that is owned."""
        try:
            return os.path.samestat(self.directory.stat(), os.fstat(self._lock_fd))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let the next sidecar have it; again does nothing more."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._lock_fd = -1


def claim_slot(queue_directory: Path) -> tuple[Slot, list[Slot]]:
    """Own the lowest free slot of a queue.

    Returns:
        The slot, and the other free ones, owned for as long as it takes to empty them.

    Raises:
        SpoolError: all slots are taken, or the folder is not safe to use.
    """
    make_private(queue_directory)
    own: Slot | None = None
    orphans: list[Slot] = []
    for number in range(MAX_SLOTS):
        directory = queue_directory / str(number)
        if own is not None and not directory.exists():
            continue
        slot = take_slot(directory)
        if slot is None:
            continue
        if own is None:
            own = slot
        else:
            orphans.append(slot)
    if own is None:
        raise SpoolError(
            str(queue_directory), f"all {MAX_SLOTS} slots are in use; stop a sidecar of this queue"
        )
    return own, orphans


def make_private(directory: Path) -> None:
    """Make a folder that only its owner can enter, whatever the umask, or check that it is one.

    Folders above it that are not there are made likewise; those that are must not let others replace it.

    Raises:
        SpoolError: it is a link, belongs to somebody else, others may write to it or replace it, or it cannot
            be made.
    """
    try:
        for folder in (*reversed(directory.parents), directory):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                _sync_folder(folder.parent)
        status = directory.lstat()
        replaceable = _where_others_may_replace(directory)
    except OSError as error:
        raise SpoolError(
            str(directory), f"{error.strerror}; make it, or name another folder in spool.dir"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise SpoolError(
            str(directory), "is no folder of its own (a link or a file); name another in spool.dir"
        )
    if status.st_uid != os.geteuid():
        raise SpoolError(
            str(directory),
            f"belongs to uid {status.st_uid}; chown {os.geteuid()} it, or name another in spool.dir",
        )
    if status.st_mode & 0o022:
        raise SpoolError(str(directory), f"others may write to it; run: chmod 700 {directory}")
    if replaceable:
        raise SpoolError(
            str(directory),
            f"others may replace it, as they may write to {replaceable}; run: chmod +t {replaceable}, or name "
            "another folder in spool.dir",
        )


def _sync_folder(directory: Path) -> None:
    """Have a folder that was just made in `directory` survive a power cut, as far as this user may."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _where_others_may_replace(directory: Path) -> Path | None:
    """Return the folder above in which others may rename what is ours, and put their own in its place.

    Where the sticky bit is set (`/tmp`) they cannot. A group that this process is in counts as its own: users
    have private groups, and volumes of Kubernetes the group of their pod.
    """
    groups = {os.getegid(), *os.getgroups()}
    for folder in (*directory.absolute().parents, *directory.resolve().parents):  # a link may be replaced, too
        status = folder.stat()
        writable = stat.S_IWOTH if status.st_gid in groups else stat.S_IWOTH | stat.S_IWGRP
        if status.st_mode & writable and not status.st_mode & stat.S_ISVTX:
            return folder
    return None


def take_slot(directory: Path) -> Slot | None:
    """Own one slot, made if it is not there; None if somebody else owns it.

    Raises:
        SpoolError: the folder is not safe to use.
    """
    make_private(directory)
    try:
        fd = _open_folder(directory)
    except OSError as error:
        raise SpoolError(str(directory), f"cannot be locked: {error.strerror}") from error
    while not _lock_folder(fd, fcntl.LOCK_EX):
        if not _lock_folder(fd, fcntl.LOCK_SH):
            os.close(fd)
            return None
        fcntl.flock(fd, fcntl.LOCK_UN)  # somebody only looks
        time.sleep(_LOOK_SECONDS)
    return Slot(directory, fd)


def is_owned(directory: Path) -> bool:
    """Tell whether a sidecar owns a slot, without keeping one that starts now from taking it.

    Raises:
        OSError: this user may not look.
    """
    try:
        fd = _open_folder(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _lock_folder(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _open_folder(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _lock_folder(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
