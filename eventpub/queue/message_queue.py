"""The POSIX message queue between application and sidecar, both ends.

Owns everything that goes through posix_ipc and maps its exceptions; nothing else imports it. No call waits
unless its name says so, and a queue's size is always what the kernel confirmed, never what was asked for.

The first process to open a queue creates it and sets its size, owner, mode and group; a later opener asking for
something else gets a warning. Receiving removes messages, so a right to read is a right to steal: if sidecar
and applications are different users, the mode is 0620 and the group is the applications'.
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
Refused = (posix_ipc.Error, OSError, ValueError)  # everything that posix_ipc raises


class MessageQueue:
    """An open queue, made by `MessageQueue.open`. As a context manager it closes itself.

    Threads, greenlets and forked children may share one. Only `wait_writable` waits, so signals interrupt no
    other method. A closed queue raises EventQueueClosedError, the wrong direction QueuePermissionError.

    Attributes:
        name: the queue's name, without the prefix it has in the kernel.
        size: how many messages it holds and how many bytes each may have, as the kernel reports it.
        max_messages, max_message_size: the same, separately.
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
        """Open the queue `name`; create it if it does not exist.

        Args:
            name: 1 to 200 letters, digits, dots, dashes and underscores; does not begin with a dot.
            max_messages: messages it holds; None for what the kernel allows, up to 10,000.
            max_message_size: bytes of a message; None for what the kernel allows, up to 102,400.
            mode: permission bits of a new queue, independent of the umask.
            group: name or number of the group of a new queue; None for the process's own.
            read: open it for receiving.
            write: open it for sending.
            create: create it if it does not exist.

        Raises:
            QueueNameError: the name is invalid.
            QueueMissingError: it does not exist and `create` is false.
            QueuePermissionError: its owner denies access, or it cannot be given to `group`.
            QueueLimitError: the kernel refuses the given size, or every useful one.
            QueueUnsupportedError: this kernel or container has no message queues.
        """
        check_name(name)
        wish = Wish(max_messages, max_message_size, mode, group).checked()
        while True:  # repeated if another process creates or removes the queue between these two attempts
            try:
                queue = cls(name, _open_queue(name, read=read, write=write), created=False)
            except QueueMissingError:
                if not create:
                    raise
            else:
                if create and (found := wish.differences(queue.size, queue.status())):
                    logger.warning("event queue %r existed already and stays as it is: %s", name, found)
                return queue
            if created := _create_queue(name, wish, read=read, write=write):
                queue = cls(name, created, created=True)
                queue._apply(wish)
                return queue

    def send(self, message: bytes) -> bool:
        """Enqueue a message if there is room, and return whether there was.

        Args:
            message: must be bytes; posix_ipc 1.3.2 crashes the process on an object without a buffer.

        Raises:
            EventTooLargeError: it is longer than `max_message_size`.
        """
        try:
            self.raw_send(message)
        except (posix_ipc.BusyError, OSError):  # ENOMEM: no memory for another message counts as no room
            return False
        except ValueError as exc:
            raise EventTooLargeError(len(message), self.max_message_size) from exc
        except posix_ipc.Error as exc:
            raise self._unusable(exc) from exc
        return True

    def receive(self) -> bytes | None:
        """Take the oldest message; None if the queue is empty."""
        try:
            message, _ = self._receive()
        except posix_ipc.BusyError:
            return None
        except posix_ipc.Error as exc:
            raise self._unusable(exc) from exc
        # posix_ipc >= 1.3.1 keeps all of max_message_size allocated, and bytes(message) is the same object
        return bytes(memoryview(message))

    def wait_writable(self, timeout_seconds: float) -> bool:
        """Wait for room and return whether there is some; another sender may still take it first.

        Cooperative if gevent has patched `select`.
        """
        poll = select.poll()  # looked up here, since gevent may patch it after this module's import
        poll.register(self._check_open(), select.POLLOUT)
        return bool(poll.poll(math.ceil(timeout_seconds * 1000)))

    def depth(self) -> int:
        """Return how many messages are waiting."""
        self._check_open()
        return int(self._queue.current_messages)

    def status(self) -> os.stat_result:
        """Return its owner, group, mode and inode."""
        try:
            return os.fstat(self._check_open())
        except OSError:  # closed by its number, as daemonizing code closes all descriptors
            raise EventQueueClosedError(self.name) from None

    def is_orphaned(self) -> bool:
        """Return whether it was removed, so that opening its name leads to another queue."""
        return self.status().st_nlink == 0

    def unlink(self) -> None:
        """Remove the queue of this name, as `remove` does."""
        remove_queue(self.name)

    def close(self) -> None:
        """Close this end; the queue and its messages stay. Does nothing if it is closed already."""
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
        """Set group and mode of the new queue, or remove it if that fails."""
        try:
            wish.apply(self.fd)
        except (LookupError, OSError) as exc:
            self.unlink()
            self.close()
            me = access.user_name(os.geteuid())
            reason = f"it cannot be given to group {wish.group}: {exc}; set `queue.group` to one of {me}'s"
            raise QueuePermissionError(self.name, reason) from exc

    def _check_open(self) -> int:
        """Return the descriptor, reading it once: another thread may close the queue at any time."""
        if (fd := self.fd) < 0:
            raise EventQueueClosedError(self.name)
        return fd

    def _unusable(self, exc: posix_ipc.Error) -> EventQueueClosedError | QueuePermissionError:
        if isinstance(exc, posix_ipc.PermissionsError):
            return QueuePermissionError(self.name, "it was opened only for the other direction")
        return EventQueueClosedError(self.name)


def remove_queue(name: str) -> None:
    """Remove a queue, even one whose mode denies opening it; processes that have it open keep an orphan.

    Raises:
        QueueError: it does not exist, or belongs to another user.
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
    """Create a queue of the best possible size, for its owner only; None if it exists by now."""
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
    """Find out who owns a queue that denies access."""
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
