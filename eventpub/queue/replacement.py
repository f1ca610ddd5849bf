"""Puts a queue of another size in the place of one that is in use, and removes one, without losing an event.

The kernel cannot change a queue, nor rename one. So the old one is removed and another created at once; who has
the old one open, this process too, sees to what lies in it (see `removal`).
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from eventpub.errors import QueueError, QueueLimitError

from . import access
from .message_queue import MessageQueue
from .removal import END_MARK, RemovedQueue, fill_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from .kernel_limits import QueueSize

_TRIES = 100
_RETRY_SECONDS = 0.01
_WAIT_SECONDS = 0.1


class Replacement:
    """A queue that took the place of another. As a context manager it closes both.

    Attributes:
        new: the queue that has the name now.
    """

    def __init__(self, new: MessageQueue, removed: list[MessageQueue]) -> None:
        self.new = new
        self._removed = [RemovedQueue(queue) for queue in removed]

    @property
    def left(self) -> int:
        """How many messages of the old queue are still to be moved, end marks included."""
        return sum(old.left for old in self._removed)

    def move_messages(self) -> bool:
        """Move to the new queue what it has room for; return whether nothing is left, nor can come."""
        done = [old.move_messages(self.new) for old in self._removed]  # each of them
        return all(done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.new.close()
        for old in self._removed:
            old.close()


def replace_queue(name: str, size: QueueSize) -> Replacement:
    """Put a queue of another size in the place of one, with the same owner, group and mode.

    Root creates it as the owner would, so that it counts as his, and without a limit.

    Raises:
        QueueError: it is not there, is not this user's, or the kernel refuses the size: then all is as it was.
    """
    old = MessageQueue.open(name, create=False)
    try:
        status = old.status()
        wishes = {**size._asdict(), "mode": access.mode_of(status), "group": str(status.st_gid)}
        with _as_owner(status.st_uid):
            _try_wishes(name, wishes)
            return _take_place(old, wishes)
    except BaseException:
        old.close()
        raise


def drop_queue(queue: MessageQueue) -> int:
    """Remove an empty queue; return how many events arrived at that moment, for which it was created again."""
    status = queue.status()
    wishes = {**queue.size._asdict(), "mode": access.mode_of(status), "group": str(status.st_gid)}
    queue.unlink()
    for _ in range(_TRIES):
        if late := [message for message in iter(queue.receive, None) if message != END_MARK]:
            with _as_owner(status.st_uid), _make_again(queue.name, wishes) as again:
                _give_away(again, status)
                for message in late:
                    while not again.send(message):
                        again.wait_writable(_RETRY_SECONDS)
                fill_up(queue)
                return len(late)
        if fill_up(queue):
            return 0
        time.sleep(_RETRY_SECONDS)
    return 0  # its sidecar empties it at the same time, and takes what came


def _make_again(name: str, wishes: dict[str, Any]) -> MessageQueue:
    """Create a queue that was there a moment ago; wait while others that were removed still take its room."""
    for _ in range(_TRIES):
        with contextlib.suppress(QueueLimitError):
            return MessageQueue.open(name, **wishes, or_less=True)
        time.sleep(_WAIT_SECONDS)
    return MessageQueue.open(name, **wishes, or_less=True)


def _try_wishes(name: str, wishes: dict[str, Any]) -> None:
    """Raise QueueError unless the kernel allows such a queue beside the old one."""
    try:
        with MessageQueue.open(f"{name[:150]}-resize-{os.getpid()}", **wishes) as scratch:
            scratch.unlink()
    except QueueError as error:
        raise type(error)(name, error.reason) from error


def _take_place(old: MessageQueue, wishes: dict[str, Any]) -> Replacement:
    """Remove a queue and create the new one; another process may be quicker and create one, which goes, too."""
    status = old.status()
    removed = [old]
    while True:
        removed[-1].unlink()
        new = MessageQueue.open(old.name, **wishes, or_less=True)
        if new.created:
            _give_away(new, status)
            return Replacement(new, removed)
        removed.append(new)


def _give_away(queue: MessageQueue, status: os.stat_result) -> None:
    """Give a queue that root created to the owner of the old one."""
    if queue.created and os.geteuid() != status.st_uid:
        os.fchown(queue.fd, status.st_uid, -1)


@contextlib.contextmanager
def _as_owner(uid: int) -> Iterator[None]:
    """Have the kernel count to a user what root creates."""
    if os.geteuid() != 0:
        yield
        return
    import resource  # noqa: PLC0415, Windows has none

    before = os.getuid()
    with contextlib.suppress(ValueError, OSError):  # a container's root may not
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (resource.RLIM_INFINITY,) * 2)
    os.setreuid(uid, -1)
    try:
        yield
    finally:
        os.setreuid(before, -1)
