"""An event queue for tests, without a kernel and without a sidecar."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from eventpub.queue.event_queue import EventQueue
from eventpub.queue.stand_in import StandIn
from eventpub.serialization.serialize import serialize_event

from .record import Put, Record, active, note_events, note_sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.queue.arguments import Message

T = TypeVar("T")


class MemoryMessages(StandIn):
    """The part of a message queue that an `EventQueue` uses; messages are appended to a list.

    Args:
        name: a valid queue name.
        puts: the list; its items count as waiting messages.
        max_messages: how many it holds; None for any number.
        max_message_size: bytes of a message; None for the largest that any queue allows.
    """

    __slots__ = ("_changed", "_full", "_puts")

    def __init__(
        self, name: str, puts: list[Put], max_messages: int | None, max_message_size: int | None
    ) -> None:
        super().__init__(name, self._put_down, max_messages, max_message_size)
        self._puts = puts
        self._full = False
        self._changed = threading.Condition()

    @property
    def full(self) -> bool:
        """Whether there is no room, either because it was set so or because it is full."""
        return self._full or self.depth() >= self.max_messages

    @full.setter
    def full(self, full: bool) -> None:
        with self._changed:
            self._full = full
            self._changed.notify_all()

    def clear(self) -> None:
        """Remove all messages, which makes room."""
        with self._changed:
            self._puts.clear()
            self._changed.notify_all()

    def wait_writable(self, timeout_seconds: float) -> bool:
        """Wait for another thread to make room, and return whether there is some."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.full, timeout_seconds)

    def depth(self) -> int:
        """Return how many messages are waiting."""
        self._check_open()
        return len(self._puts)

    def close(self) -> None:
        """Close it; does nothing if it is closed already."""
        with self._changed:
            self.fd = -1

    def __repr__(self) -> str:
        return f"<MemoryMessages {self.name!r}, {'closed' if self.fd < 0 else f'{len(self._puts):,} messages'}>"

    def _put_down(self, message: bytes) -> None:
        with self._changed:
            if self.fd < 0 or self.full:
                raise BlockingIOError  # one of the errors of a kernel queue; the caller finds out why
            put = note_sent(self.name, message)
            self._puts.append(put)
            for record in active:
                record._puts.append(put)


class MemoryQueue(EventQueue[T], Record):
    """Replaces an `EventQueue`: same calls, serializers, limits, counts and errors, but without the kernel.

    Args:
        name: as for `EventQueue`; not visible to other processes.
        event_serializer: event -> bytes; by default Thrift structs become version 2 events, mappings JSON.
        max_messages: events it holds until `clear`; None for any number.
        max_message_size: bytes of an event; None for 102,400, the largest that any queue allows.
        metrics: as for `EventQueue`.
        strict: whether a value that cannot be written is an error, `UnwritableValueError`; True by default. A
            real queue takes the event without it.

    Raises:
        QueueNameError: the name is invalid.
        QueueLimitError: no queue can have that size.
        TypeError: a size is not a number.
    """

    only_reads = True  # it keeps events as they were given to `put`, which a test wants to see

    _queue: MemoryMessages

    def __init__(
        self,
        name: str = "memory",
        event_serializer: Callable[[T], Message] | None = None,
        *,
        max_messages: int | None = None,
        max_message_size: int | None = None,
        metrics: Callable[[str, int], object] | None = None,
        strict: bool = True,
    ) -> None:
        Record.__init__(self)
        super().__init__(
            name,
            note_events(event_serializer or serialize_event, strict=strict),
            max_messages=max_messages,
            max_message_size=max_message_size,
            metrics=metrics,
        )

    @property
    def full(self) -> bool:
        """Whether `put` raises EventQueueFullError; can be set."""
        return self._queue.full

    @full.setter
    def full(self, full: bool) -> None:
        self._queue.full = full

    @property
    def events(self) -> list[T]:
        """The events, as they were passed to `put`."""
        return super().events

    def clear(self) -> None:
        """Remove all events, which makes room in a bounded queue."""
        self._queue.clear()

    def _open(self, *, create: bool) -> MemoryMessages:  # noqa: ARG002, there is nothing to create
        wishes: dict[str, Any] = self._wishes
        return MemoryMessages(self.name, self._puts, wishes["max_messages"], wishes["max_message_size"])
