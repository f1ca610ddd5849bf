"""Slots: which of a queue's folders is this sidecar's own.

Every sidecar on a queue owns one numbered folder by an exclusive lock on the folder itself, which the kernel
releases however the process ends; there is no lock file that could be stale, or removed under its owner. A
starting sidecar takes the lowest free slot, and takes over the batches of all other free slots, whose sidecars
are gone. A process never touches a folder that another one has locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SpoolError, map_error

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SLOTS = 64  # sidecars on one queue; two or three saturate a collector
_FLOCK = re.compile(r"^\d+: FLOCK +ADVISORY +WRITE +(\d+) +\S+:(\d+) ", re.MULTILINE)
_LOOK_SECONDS = 0.001  # `is_owned` holds a lock for a few microseconds


class Slot:
    """An owned slot: its folder, and the lock that makes it ours until `release`."""

    def __init__(self, directory: Path, lock_fd: int) -> None:
        self.directory = directory
        self._lock_fd = lock_fd

    def __repr__(self) -> str:
        return f"<Slot {self.directory}>"

    def is_in_place(self) -> bool:
        """Return whether the folder of that name is still the owned one.

        Raises:
            OSError: that cannot be told now.
        """
        try:
            return os.path.samestat(self.directory.stat(), os.fstat(self._lock_fd))
        except FileNotFoundError:
            return False

    def is_moved(self) -> bool:
        """Tell whether the folder is there under another name only.

        Raises:
            OSError: that cannot be told now.
        """
        return not self.is_in_place() and os.fstat(self._lock_fd).st_nlink > 0

    def release(self) -> None:
        """Release the slot for the next sidecar; does nothing if it is released already."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._lock_fd = -1


def claim_slot(queue_directory: Path) -> tuple[Slot, list[Slot]]:
    """Own the lowest free slot of a queue.

    Returns:
        The slot, and the other free ones, which this process owns until they are emptied.

    Raises:
        SpoolError: all slots are taken, or the folder is not safe to use.
    """
    make_private(queue_directory)
    owned: list[Slot] = []
    try:
        for number in range(MAX_SLOTS):
            directory = queue_directory / str(number)
            if owned and not directory.exists():
                continue
            slot = take_slot(directory)
            if slot is not None:
                owned.append(slot)
    except BaseException as error:
        for slot in owned:
            slot.release()
        if isinstance(error, OSError):
            raise map_error(queue_directory, error, "cannot be read") from error
        raise
    if not owned:
        raise SpoolError(
            str(queue_directory), f"all {MAX_SLOTS} slots are in use; stop a sidecar of this queue"
        )
    return owned[0], owned[1:]


def make_private(directory: Path) -> None:
    """Create a folder that only its owner can enter, with any umask, or check that it is safe to use.

    Missing folders above it are created the same way.

    Raises:
        SpoolError: `check_private` refuses it, or it cannot be made.
        SpoolDiskError: it cannot be made now.
    """
    try:
        for folder in (*reversed(directory.parents), directory):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                _sync_folder(folder.parent)
    except OSError as error:
        raise map_error(directory, error, "cannot be made") from error
    check_private(directory)


def check_folders(queue_directory: Path, beside: Iterable[str]) -> None:
    """Check all folders that a start would use, as far as they are there; makes none.

    Args:
        queue_directory: the queue's folder; the one that it is in is the spool's.
        beside: names of the queue's folders that are not slots.

    Raises:
        SpoolError: a start would refuse one of them.
    """
    numbers = map(str, range(MAX_SLOTS))
    slots = (queue_directory / name for name in numbers if os.path.lexists(queue_directory / name))
    for folder in (queue_directory.parent, queue_directory, *map(queue_directory.joinpath, beside), *slots):
        check_private(folder)


def check_private(directory: Path) -> None:
    """Check that nobody else can change what is in a folder, or replace it; it need not be there yet.

    A group that this process is in may write to it: Kubernetes gives a volume to the group of its pod.

    Raises:
        SpoolError: it is a link or a file, belongs to another user, or others can write to it or replace it.
        SpoolDiskError: it cannot be looked at now.
    """
    try:
        status = directory.lstat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise map_error(directory, error, "cannot be checked") from error
    if status is not None:
        if not stat.S_ISDIR(status.st_mode):
            raise SpoolError(
                str(directory), "is not a folder (but a link or a file); name another in spool.dir"
            )
        if status.st_uid != os.geteuid():
            mine = f"give it to this user, as root: chown -R {_name_user(os.geteuid())}: {directory}, or "
            raise SpoolError(
                str(directory),
                f"belongs to uid {status.st_uid}; run this as its owner: sudo -u {_name_user(status.st_uid)} …"
                f", or {mine if os.geteuid() else ''}name another in spool.dir",
            )
        if _can_others_write(status):
            raise SpoolError(str(directory), f"other users may write to it; run: chmod 700 {directory}")
    try:
        weakness = _find_weakness_above(directory)
    except OSError as error:
        raise map_error(directory, error, "the folders above it cannot be checked") from error
    if weakness:
        raise SpoolError(
            str(directory), f"other users may replace it, since {weakness}, or name another folder in spool.dir"
        )


def _sync_folder(directory: Path) -> None:
    """Make a folder just created in `directory` survive a power cut, if this user may do so."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _can_others_write(status: os.stat_result) -> bool:
    """Return whether users outside the owner and this process's groups may write to a folder."""
    is_ours = status.st_gid in {os.getegid(), *os.getgroups()}
    return bool(status.st_mode & (stat.S_IWOTH if is_ours else stat.S_IWOTH | stat.S_IWGRP))


def _find_weakness_above(directory: Path) -> str:
    """Return why other users could replace our folder, with the remedy; or nothing.

    They could if they may write to a folder above it, unless its sticky bit is set (`/tmp`), or if they own
    one.
    """
    for folder in (*directory.absolute().parents, *directory.resolve().parents):  # a link may be replaced, too
        try:
            status = folder.stat()
        except FileNotFoundError:
            continue
        if status.st_uid not in (0, os.geteuid()) and status.st_uid not in _find_unmapped_uid():
            remedy = f"chown {os.geteuid()} {folder}"
            if os.geteuid() == 0:  # the service's own folder, most likely
                remedy = f"this as its owner: sudo -u {_name_user(status.st_uid)} …"
            return f"{folder} belongs to uid {status.st_uid}; run {remedy}"
        if _can_others_write(status) and not status.st_mode & stat.S_ISVTX:
            return f"they may write to {folder}; run: chmod +t {folder}"
    return ""


def _find_unmapped_uid() -> list[int]:
    """Return the uid that stands for the host's root in a container with users of its own, if this is one."""
    unmapped = int(Path("/proc/sys/fs/overflowuid").read_text())
    ranges = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return [] if any(first <= unmapped < first + count for first, _, count in ranges) else [unmapped]


def _name_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"'#{uid}'"


def take_slot(directory: Path) -> Slot | None:
    """Lock one slot, created if missing; None if another process owns it.

    Raises:
        SpoolError: the folder is not safe to use.
    """
    make_private(directory)
    try:
        fd = _open_folder(directory)
        try:
            is_locked = _lock_for_good(fd)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        raise map_error(directory, error, "cannot be locked") from error
    if is_locked:
        return Slot(directory, fd)
    os.close(fd)
    return None


def is_owned(directory: Path) -> bool:
    """Return whether a sidecar owns a slot, without keeping a starting one from taking it.

    Raises:
        OSError: this user may not check.
    """
    try:
        fd = _open_folder(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _lock_folder(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def find_owner(directory: Path) -> int | None:
    """Return the id of the process that has locked a slot; None where this namespace does not show it."""
    inode = str(directory.stat().st_ino)
    for match in _FLOCK.finditer(Path("/proc/locks").read_text()):
        if match[2] == inode and match[1] != "0":
            return int(match[1])
    return None


def _open_folder(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _lock_for_good(fd: int) -> bool:
    """Lock a folder unless another process owns it; wait for processes that only check it."""
    while not _lock_folder(fd, fcntl.LOCK_EX):
        if not _lock_folder(fd, fcntl.LOCK_SH):
            return False
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(_LOOK_SECONDS)
    return True


def _lock_folder(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
