"""One batch file: `OpenBatch` while it fills, `Batch` once it is sealed.

The space of an open batch is reserved on disk before the first message is received into it, so a full disk
shows when the file is created and never while a message is received.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventpub import wire
from eventpub.sidecar.native.state import State

from . import records
from .slot import make_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .dead_letters import Cause
    from .disk import Disk

MADV_POPULATE_WRITE = 23  # linux/mman.h; in Python's mmap from 3.14 on at the earliest
_NO_SPACE = "the space that was reserved for a batch file is not there"
OPEN_SUFFIX = ".open"
SEALED_SUFFIX = ".batch"
TEMPORARY_SUFFIX = ".tmp"


@dataclass(slots=True)
class Batch:
    """A sealed batch.

    Attributes:
        path: the file.
        events: how many events it holds.
        size_bytes: how much disk it takes.
        received_at: when its first event was received, seconds since 1970; 0 for just now.
        event_at: the own time of its first event, likewise; None until it is known, 0 where it has none.
        attempts: how often this process has posted it.
        is_accepted: the collector has it, though its file may not have been removed yet.
        is_report: its event is a loss report of this process.
        failed_at: where in the order of what was accepted it, or what it is a part of, failed; None if it
            never did.
        is_refused: whether its last answer was a refusal of its events.
        refusals: how often its events were refused.
        proven_refusals: how often they were while others were accepted.
        timeouts: how many of its attempts had no answer in time.
        recodings: how often it was sent again in another encoding.
        causes: why its events are dead, by place; it waits for room among the dead letters.
    """

    path: Path
    events: int
    size_bytes: int
    received_at: float = 0.0
    event_at: float | None = None
    attempts: int = 0
    is_accepted: bool = False
    is_report: bool = False
    failed_at: int | None = None
    is_refused: bool = False
    refusals: int = 0
    proven_refusals: int = 0
    timeouts: int = 0
    recodings: int = 0
    causes: Mapping[int, Cause] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path) -> Batch:
        """Describe the sealed batch file at `path`; its name holds the event count."""
        status = path.stat()
        return cls(path, int(path.name.split(".")[1]), status.st_size, status.st_mtime)

    @property
    def sequence(self) -> int:
        """The number of the batch in its slot."""
        return sequence_of(self.path)


def sequence_of(path: Path) -> int:
    """Return the number at the beginning of a file's name."""
    return int(path.name.split(".")[0])


def open_path(directory: Path, sequence: int) -> Path:
    """Return the path of batch `sequence` while it fills."""
    return directory / f"{sequence:012d}{OPEN_SUFFIX}"


def sealed_path(directory: Path, sequence: int, events: int) -> Path:
    """Return the path of batch `sequence` once it is sealed."""
    return directory / f"{sequence:012d}.{events}{SEALED_SUFFIX}"


def capacity_of(body_limit_bytes: int, message_size_bytes: int) -> int:
    """Return how many bytes of disk a batch takes while it fills; both as for `OpenBatch`."""
    # an eighth for record headers: with events under 100 bytes a batch closes somewhat early
    events_bytes = body_limit_bytes + body_limit_bytes // 8
    return records.HEADER_BYTES + events_bytes + records.padded_size(message_size_bytes)


class OpenBatch:
    """A batch file that fills; its `state` is what a burst advances.

    Args:
        directory: the slot's folder.
        sequence: the batch's number.
        disk: the file system.
        body_limit_bytes: the most its events may take in a container.
        message_size_bytes: the queue's message size; a batch is full when one more such might not fit.

    Raises:
        OSError: the file cannot be created, or its space cannot be reserved; nothing is left behind.
    """

    def __init__(
        self, directory: Path, sequence: int, disk: Disk, *, body_limit_bytes: int, message_size_bytes: int
    ) -> None:
        self.sequence = sequence
        self._disk = disk
        self.path = open_path(directory, sequence)
        capacity = capacity_of(body_limit_bytes, message_size_bytes)
        self._fd = disk.create(self.path)
        try:
            disk.reserve(self._fd, capacity)
            self.memory = _map(self._fd, capacity)
            self._header = records.new_header()
            os.pwrite(self._fd, records.write_header(self._header), 0)
        except BaseException:
            os.close(self._fd)
            with contextlib.suppress(OSError):  # the next start removes it
                disk.remove(self.path)
            raise
        self.state = State(
            message_size=message_size_bytes,
            size=capacity,
            offset=records.HEADER_BYTES,
            body=wire.CONTAINER_OVERHEAD,
            body_limit=body_limit_bytes,
        )

    def receive_as(self, version: str) -> None:
        """Note under which version of the wire the events are received; nothing has been so far.

        Raises:
            OSError: the disk failed, or the file was truncated.
        """
        if os.fstat(self._fd).st_size < self.state.size:
            raise OSError(errno.ENOSPC, _NO_SPACE)
        self._header = self._header._replace(version=version)
        os.pwrite(self._fd, records.write_header(self._header), 0)

    def seal(self, *, fsync: bool) -> Batch | None:
        """Finish the file under its sealed name and return it; an empty file is removed instead.

        Args:
            fsync: write it to disk, not only to the page cache, before it gets its sealed name.

        Raises:
            OSError: the disk failed; call this again, or leave the file to the next start.
        """
        events, size = self.state.events, self.state.offset
        sealed = sealed_path(self.path.parent, self.sequence, events)
        self.memory.close()
        if events:
            self._disk.truncate(self._fd, size)
            if self.path.exists() or sealed.exists():
                _publish_file(self._disk, self._fd, self.path, sealed, fsync=fsync)
            else:  # the file was removed, perhaps with its folder; its bytes are still mapped here
                make_private(self.path.parent)
                write_file(self._disk, sealed, os.pread(self._fd, size, 0), fsync=fsync)
        else:
            self._disk.remove(self.path)
        os.close(self._fd)
        age_seconds = (time.monotonic_ns() - self.state.first_ns) / 1e9
        return Batch(sealed, events, size, time.time() - age_seconds) if events else None


def _map(fd: int, size_bytes: int) -> mmap.mmap:
    """Map a batch file, with all its pages in memory, where receiving into them cannot fail.

    Raises:
        OSError: the file system does not keep what it reserved.
    """
    try:
        memory = mmap.mmap(fd, size_bytes)
    except ValueError as error:  # it is shorter than that
        raise OSError(errno.ENOSPC, _NO_SPACE) from error
    try:
        memory.madvise(MADV_POPULATE_WRITE)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of Linux before 5.14, where pages are mapped one by one, when touched
            memory.close()
            raise OSError(errno.ENOSPC, _NO_SPACE) from error
    return memory


def seal_left_open(disk: Disk, path: Path, events: int, size_bytes: int, *, fsync: bool) -> Batch:
    """Seal a file that a killed process left open, cut to `size_bytes`; needs no disk space."""
    sealed = sealed_path(path.parent, sequence_of(path), events)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        disk.truncate(fd, size_bytes)
        _publish_file(disk, fd, path, sealed, fsync=fsync)
    finally:
        os.close(fd)
    return Batch(sealed, events, size_bytes)


def read_file(path: Path) -> bytes:
    """Return the bytes of a batch file.

    Raises:
        FileNotFoundError: it is gone, or something else stands in its place.
        OSError: it cannot be read now, which says nothing of what is in it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO) and not stat.S_ISREG(path.lstat().st_mode):
            raise FileNotFoundError(errno.ENOENT, "something else stands in its place", str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileNotFoundError(errno.ENOENT, "something else stands in its place", str(path))
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return file.readall()
    finally:
        os.close(fd)


def write_file(disk: Disk, path: Path, image: bytes, *, fsync: bool) -> None:
    """Write a file so that a reader finds all of it or nothing."""
    temporary = path.with_suffix(TEMPORARY_SUFFIX)
    disk.remove(temporary)
    fd = disk.create(temporary)
    try:
        disk.write(fd, image)
        _publish_file(disk, fd, temporary, path, fsync=fsync)
    except OSError:
        with contextlib.suppress(OSError):  # the next start removes it
            disk.remove(temporary)
        raise
    finally:
        os.close(fd)


def _publish_file(disk: Disk, fd: int, temporary: Path, path: Path, *, fsync: bool) -> None:
    """Give a finished file its name; if `fsync`, write first its bytes and then its name to disk."""
    if fsync:
        disk.sync(fd)
    if temporary.exists():  # otherwise this is a retry after the last step failed
        disk.rename(temporary, path)
    if fsync:
        disk.sync_directory(path.parent)
