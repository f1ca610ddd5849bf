"""What an `eventpub dev` that was killed leaves behind: its folder, and the queue that it made.

Each has a temporary folder, which it and its programs keep locked, and notes there the queue that it makes. So
a folder with a note that can be locked is left over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.errors import QueueError
from eventpub.queue import holders
from eventpub.queue.message_queue import remove_queue

from .claim import is_claimed

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "eventpub-dev-"
_NOTE = "made-queue"
_END_SECONDS = 2.0  # the programs of a command that was killed end by themselves
_POLL_SECONDS = 0.05


class Folder:
    """A temporary folder that is locked.

    Attributes:
        path: of the folder.
        lock_fd: for the programs to inherit; the lock lasts until the last of them has ended.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd

    def note_queue(self, name: str) -> None:
        """Note that a queue is made here, and goes at the end."""
        (self.path / _NOTE).write_text(f"{name}\n{holders.read_namespace()}\n", encoding="utf-8")


@contextlib.contextmanager
def make_folder() -> Iterator[Folder]:
    """Make a locked folder, which is removed with the block."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        path = Path(name)
        with _open(path) as lock_fd:
            _lock(lock_fd)
            yield Folder(path, lock_fd)


def clear_leftovers(queue: str) -> bool:
    """Remove the folders and queues of commands that were killed.

    Args:
        queue: is not removed, since it is needed at once, with the events that wait in it.

    Returns:
        whether such a command had made `queue`.
    """
    was_made = False
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            name = _read_note(folder)
            deadline = time.monotonic() + (_END_SECONDS if name == queue else 0.0)
            while name and not _clear(folder, name, queue):
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
            else:
                was_made = was_made or name == queue
    return was_made


def _clear(folder: Path, name: str, queue: str) -> bool:
    """Return whether the folder has been removed, since it was left over and its queue is not in use."""
    with _open(folder) as lock_fd:
        if not _lock(lock_fd) or (name != queue and is_claimed(name)):
            return False
        if name != queue:
            with contextlib.suppress(QueueError):  # it has gone
                remove_queue(name)
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _read_note(folder: Path) -> str:
    """Return the queue that was made, or "" if the folder is not ours or is not known to be one of these."""
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid() or not (folder / _NOTE).is_file():
        return ""
    name, _, namespace = (folder / _NOTE).read_text(encoding="utf-8").strip().partition("\n")
    return name if namespace == holders.read_namespace() else ""


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    """Return whether a folder could be locked; processes that inherit the descriptor share the lock."""
    import fcntl  # noqa: PLC0415, Windows has none, and loads this for its help

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
