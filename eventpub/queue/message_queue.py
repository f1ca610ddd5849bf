"""The POSIX message queue between application and sidecar, both ends.

Owns everything that goes through posix_ipc and maps what it raises; nothing else imports it. No call waits
unless its name says so, and a queue's size is always what the kernel confirmed, never what was asked for.

Whoever opens a queue first creates it and so sets its size, owner, mode and group; whoever opens it later
with other wishes is told by a warning. Receiving takes messages away, so a right to read is a right to steal:
where sidecar and applications are different users, the mode is 0620 and the group is the applications'.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import select
from typing import TYPE_CHECKING

import posix_ipc

from eventpub.errors import (
    EventQueueClosedError,
    EventTooLargeError,
    QueueError,
    QueueLimitError,
    QueueMissingError,
    QueuePermissionError,
)
from eventpub.wire import MAX_EVENT_SIZE, MAX_QUEUE_SIZE, QUEUE_PREFIX

from . import access, kernel_limits
from .access import DEFAULT_MODE, Wish
from .refusal import check_name, is_about_size, map_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

logger = logging.getLogger(__name__)
POSIX_IPC_VERSION: str = posix_ipc.__version__

# What posix_ipc raises when it opens or removes a queue -> errno; its OSErrors often have a text only.
_ERRNO_OF_TYPE = {
    posix_ipc.ExistentialError: errno.ENOENT,
    posix_ipc.PermissionsError: errno.EACCES,
    ValueError: errno.EINVAL,
}
_ERRNO_OF_TEXT = {"files open": errno.EMFILE, "open files": errno.ENFILE, "Insufficient": errno.ENOSPC}
Refused = (posix_ipc.Error, OSError, ValueError)  # what posix_ipc raises at all


class MessageQueue:
    """An open queue; make one with `MessageQueue.open`. As a context manager it closes itself.

    Threads, greenlets and forked children may share one. Only `wait_writable` waits, so no signal interrupts
    the others. A closed one raises EventQueueClosedError, the wrong direction QueuePermissionError.

    Attributes:
        name: the queue's name, without the prefix it has in the kernel.
        size: how many messages it holds and how many bytes each may have, as the kernel says.
        max_messages, max_message_size: the same, each by itself.
        created: whether this call of `open` created it.
        fd: its descriptor, readable with a message and writable with room; -1 once closed.
        raw_send: `send` for `EventQueue.put`, 0.1 us cheaper: raises one of `Refused` unless it enqueued.
    """

    __slots__ = (
        "_queue", "_receive", "created", "fd", "max_message_size", "max_messages", "name", "raw_send", "size",
    )  # fmt: skip

    def __init__(self, name: str, queue: posix_ipc.MessageQueue, *, created: bool) -> None:
        queue.block = False
        self.name = name
        self.size = kernel_limits.QueueSize(queue.max_messages, queue.max_message_size)
        self.max_messages, self.max_message_size = self.size
        self.created = created
        self.fd: int = queue.mqd
        self._queue = queue
        self.raw_send: Callable[[bytes], None] = queue.send
        self._receive = queue.receive

    @classmethod
    def open(
        cls,
        name: str,
        *,
        max_messages: int | None = None,
        max_message_size: int | None = None,
        mode: int = DEFAULT_MODE,
        group: str | None = None,
        read: bool = True,
        write: bool = True,
        create: bool = True,
    ) -> Self:
        """Open the queue `name`; create it if it is not there.

        Args:
            name: 1 to 200 letters, digits, dots, dashes and underscores, no dot in front.
            max_messages: messages it holds; None for what the kernel allows, up to 10,000.
            max_message_size: bytes of a message; None for what the kernel allows, up to 102,400.
            mode: permission bits of a queue that is created, whatever the umask is.
            group: name or number of the group of a queue that is created; None for the process's own.
            read: open it for receiving.
            write: open it for sending.
            create: create it if it is not there.

        Raises:
            QueueNameError: that cannot be a name.
            QueueMissingError: it is not there and `create` is false.
            QueuePermissionError: its owner does not let this user in, or it cannot be given to `group`.
            QueueLimitError: the kernel refuses the given size, or any that is of use.
            QueueUnsupportedError: this kernel or container has no message queues.
        """
        check_name(name)
        wish = Wish(max_messages, max_message_size, mode, group).checked()
        while True:  # until no other process creates or removes the queue between these two attempts
            try:
                queue = cls(name, _open_queue(name, read=read, write=write), created=False)
            except QueueMissingError:
                if not create:
                    raise
            else:
                if create and (found := wish.differences(queue.size, queue.status())):
                    logger.warning("event queue %r was there already and stays as it is: %s", name, found)
                return queue
            if created := _create_queue(name, wish, read=read, write=write):
                queue = cls(name, created, created=True)
                queue._apply(wish)
                return queue

    def send(self, message: bytes) -> bool:
        """Enqueue a message if there is room, and say whether there was.

        Args:
            message: bytes and nothing else; posix_ipc 1.3.2 crashes the process over what has no buffer.

        Raises:
            EventTooLargeError: it is longer than `max_message_size`.
        """
        try:
            self.raw_send(message)
        except (posix_ipc.BusyError, OSError):  # ENOMEM: no memory for one more message is no room for it
            return False
        except ValueError as exc:
            raise EventTooLargeError(len(message), self.max_message_size) from exc
        except posix_ipc.Error as exc:
            raise self._unusable(exc) from exc
        return True

    def receive(self) -> bytes | None:
        """Take the oldest message; None when there is none."""
        try:
            message, _ = self._receive()
        except posix_ipc.BusyError:
            return None
        except posix_ipc.Error as exc:
            raise self._unusable(exc) from exc
        # posix_ipc >= 1.3.1 keeps all of max_message_size allocated, and bytes(message) is the same object
        return bytes(memoryview(message))

    def wait_writable(self, timeout_seconds: float) -> bool:
        """Wait for room and say whether there is some; another sender may be quicker to take it.

        Cooperative where gevent has patched `select`.
        """
        poll = select.poll()  # looked up now and not at import, when gevent may not have patched it yet
        poll.register(self._check_open(), select.POLLOUT)
        return bool(poll.poll(math.ceil(timeout_seconds * 1000)))

    def depth(self) -> int:
        """Return how many messages wait in it."""
        self._check_open()
        return int(self._queue.current_messages)

    def status(self) -> os.stat_result:
        """Return its owner, group, mode and inode."""
        try:
            return os.fstat(self._check_open())
        except OSError:  # closed by its number, as a process that becomes a daemon closes all it has
            raise EventQueueClosedError(self.name) from None

    def is_orphaned(self) -> bool:
        """Return whether it was removed: whoever opens its name now gets another queue."""
        return self.status().st_nlink == 0

    def unlink(self) -> None:
        """Remove the queue of this name, as `remove` does."""
        remove_queue(self.name)

    def close(self) -> None:
        """Close this end, once or more often; the queue and its messages stay."""
        if self.fd >= 0:
            self.fd = -1
            self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.fd < 0:
            return f"<MessageQueue {self.name!r}, closed>"
        waiting = f"{self.depth():,} of {self.size}, fd {self.fd}"
        return f"<MessageQueue {self.name!r}, {waiting}{', removed' if self.is_orphaned() else ''}>"

    def _apply(self, wish: Wish) -> None:
        """Give the new queue its group and mode, or remove it."""
        try:
            wish.apply(self.fd)
        except (LookupError, OSError) as exc:
            self.unlink()
            self.close()
            me = access.user_name(os.geteuid())
            reason = f"it cannot be given to group {wish.group}: {exc}; set `queue.group` to one of {me}'s"
            raise QueuePermissionError(self.name, reason) from exc

    def _check_open(self) -> int:
        """Return the descriptor, read once: another thread may close the queue at any time."""
        if (fd := self.fd) < 0:
            raise EventQueueClosedError(self.name)
        return fd

    def _unusable(self, exc: posix_ipc.Error) -> EventQueueClosedError | QueuePermissionError:
        if isinstance(exc, posix_ipc.PermissionsError):
            return QueuePermissionError(self.name, "it was opened for the other direction only")
        return EventQueueClosedError(self.name)


def remove_queue(name: str) -> None:
    """Remove a queue, even one that its owner may not open; whoever has it open keeps an orphan.

    Raises:
        QueueError: it is not there, or belongs to somebody else.
    """
    try:
        posix_ipc.unlink_message_queue(QUEUE_PREFIX + name)
    except Refused as exc:
        raise _map_error(name, exc, "remove it") from exc


def _open_queue(name: str, *, read: bool, write: bool) -> posix_ipc.MessageQueue:
    try:
        return posix_ipc.MessageQueue(QUEUE_PREFIX + name, read=read, write=write)
    except Refused as exc:
        raise _map_error(name, exc, " and ".join(["receive from it"] * read + ["send to it"] * write)) from exc


def _create_queue(name: str, wish: Wish, *, read: bool, write: bool) -> posix_ipc.MessageQueue | None:
    """Create a queue of the best size there is, for its owner alone; None if it is there by now."""
    limits = kernel_limits.read_limits()
    kernel_limits.raise_soft_limit()
    refused: Exception | None = None
    for size in kernel_limits.sizes_to_try(limits, wish.max_messages, wish.max_message_size):
        try:
            queue = posix_ipc.MessageQueue(
                QUEUE_PREFIX + name, posix_ipc.O_CREX, wish.mode & 0o700, *size, read=read, write=write
            )
        except posix_ipc.ExistentialError:
            return None
        except Refused as exc:
            if not is_about_size(_errno_of(exc)):
                raise _map_error(name, exc, "create it") from exc
            refused = exc
        else:
            if size != (wish.max_messages or MAX_QUEUE_SIZE, wish.max_message_size or MAX_EVENT_SIZE):
                text = kernel_limits.explain_size(limits, wish.max_messages, wish.max_message_size, got=size)
                logger.warning("event queue %r was created smaller than wanted: %s", name, text)
            return queue
    raise QueueLimitError(name, kernel_limits.explain_size(limits, *wish[:2])) from refused


def _map_error(name: str, exc: Exception, doing: str) -> QueueError:
    number = _errno_of(exc)
    return map_refusal(name, number, doing, _peek_status(name) if number == errno.EACCES else None)


def _errno_of(exc: Exception) -> int:
    if isinstance(exc, OSError):
        by_text = (number for text, number in _ERRNO_OF_TEXT.items() if text in str(exc))
        return exc.errno or next(by_text, errno.ENOSYS)
    return _ERRNO_OF_TYPE.get(type(exc), errno.ENOSYS)


def _peek_status(name: str) -> os.stat_result | None:
    """Find out whose a queue is that does not let us in."""
    for direction in ({"read": False}, {"write": False}):
        try:
            queue = posix_ipc.MessageQueue(QUEUE_PREFIX + name, **direction)
        except Refused:
            continue
        try:
            return os.fstat(queue.mqd)
        finally:
            queue.close()
    try:
        return os.stat(f"/dev/mqueue{QUEUE_PREFIX}{name}")  # noqa: PTH116, pathlib takes 5 ms to import
    except OSError:
        return None
