"""The POSIX message queue between application and sidecar, both ends.

No call waits unless its name says so, and a queue's size is always what the kernel confirmed, never what was
asked for.

The first process to open a queue creates it and sets its size, owner, mode and group; a later opener asking for
something else gets a warning. Receiving removes messages, so a right to read is a right to steal: if sidecar
and applications are different users, the mode is 0620 and the group is the applications'.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
from typing import TYPE_CHECKING

from eventpub.errors import (
    EventQueueClosedError,
    EventTooLargeError,
    QueueMissingError,
    QueuePermissionError,
)

from . import access, kernel_limits
from .access import DEFAULT_MODE, Wish
from .kernel_queue import Refused, create_new, open_existing
from .kernel_queue import remove_queue as remove_queue  # noqa: PLC0414, found here too
from .log import warn
from .posix import posix_ipc
from .refusal import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

logger = logging.getLogger(__name__)


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
        "_identity", "_queue", "_receive", "created", "fd", "max_message_size", "max_messages", "name",
        "raw_send", "size",
    )  # fmt: skip

    def __init__(self, name: str, queue: posix_ipc.MessageQueue, *, created: bool) -> None:
        queue.block = False
        self.name = name
        self.size = kernel_limits.QueueSize(queue.max_messages, queue.max_message_size)
        self.max_messages, self.max_message_size = self.size
        self.created = created
        self.fd: int = queue.mqd
        self._identity = _identify(self.fd)
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
        or_less: bool = False,
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
            or_less: if only other queues of this user keep it from being as large as given, create it smaller
                and say so in the log.

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
                queue = cls(name, open_existing(name, read=read, write=write), created=False)
            except QueueMissingError:
                if not create:
                    raise
            else:
                if create and (found := wish.differences(queue.size, queue.status())):
                    warn(logger, "event queue %r existed already and stays as it is: %s", name, found)
                return queue
            if created := create_new(name, wish, read=read, write=write, or_less=or_less):
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
        """Return its owner, group, mode and inode.

        Raises:
            EventQueueClosedError: it was closed, perhaps by the number of its descriptor, as a process that
                becomes a daemon closes all it has; something else may have that number by now.
        """
        with contextlib.suppress(OSError):  # the number is unused now
            status = os.fstat(self._check_open())
            if (status.st_dev, status.st_ino) == self._identity:
                return status
        raise EventQueueClosedError(self.name)

    def is_orphaned(self) -> bool:
        """Return whether it was removed, so that opening its name leads to another queue."""
        return self.status().st_nlink == 0

    def unlink(self) -> None:
        """Remove the queue of this name, as `remove` does."""
        remove_queue(self.name)

    def close(self) -> None:
        """Close this end, once or more often, and never fail; the queue and its messages stay."""
        fd, self.fd = self.fd, -1
        with contextlib.suppress(*Refused):
            if (
                fd >= 0 and _identify(fd) == self._identity
            ):  # else it was closed by its number, which is another's
                self._queue.close()

    @property
    def holds_descriptor(self) -> bool:
        """Whether it has to be closed."""
        return self.fd >= 0

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            removed = ", removed" if self.is_orphaned() else ""
        except EventQueueClosedError:
            return f"<MessageQueue {self.name!r}, closed>"
        return f"<MessageQueue {self.name!r}, {self.depth():,} of {self.size}, fd {self.fd}{removed}>"

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


def _identify(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
