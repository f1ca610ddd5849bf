"""Stage 1: event -> bytes -> queue.

`EventQueue.put` serializes an event and passes it to the kernel, which keeps it even if this process dies at
once. It does not wait unless asked to, starts no thread, waits for no lock, and raises only `EventError`,
unless its timeout is invalid. So it is safe in threads, greenlets and asyncio handlers, and before and after a
fork: parent and child share the queue.

Either the event is enqueued or `put` raises, with one exception to prevent: a process that has a queue open can
send to it after it was removed (`eventpub queue drop`), and nobody receives that. So `put` checks once a
second, and whenever the queue is full. If the queue was removed, `put` switches to the queue that now has its
name, or creates it if this user owned the old one, and moves the old one's events to it, if this user may read
them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from weakref import WeakValueDictionary

from eventpub.errors import (
    EventError,
    EventQueueClosedError,
    EventQueueFullError,
    EventSerializationError,
    EventTooLargeError,
    QueueError,
    QueuePermissionError,
)
from eventpub.serialization.serialize import serialize_event
from eventpub.wire import MAX_EVENT_SIZE

from .access import DEFAULT_MODE
from .message_queue import MessageQueue, Refused
from .metrics import Counts, QueueMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # how long events may go to a removed queue; a check costs 1 us, `monotonic` 0.04 per put
_NO_WAIT = 0.0  # one object, so that the check for "no timeout" costs nothing
_RETRY_SECONDS = 0.05  # between attempts to open a queue that is being replaced


class EventQueue(Generic[T]):
    """A queue of events, from which a sidecar takes them. As a context manager it closes itself.

    It is also a baseplate context factory, for `Baseplate.configure_context` and `add_to_context`.

    Args:
        name: 1 to 200 letters, digits, dots, dashes and underscores; does not begin with a dot.
        event_serializer: event -> bytes; by default Thrift structs become version 2 events, mappings JSON.
        max_messages: events it holds, if it must be created; None for what the kernel allows, up to 10,000.
        max_message_size: bytes of an event, likewise; None for what the kernel allows, up to 102,400.
        mode: permission bits, likewise.
        group: name or number of its group, likewise; None for this process's.
        metrics: called by `put`, at most every ten seconds, and by `close`, with the name of a counter and its
            increment (see `queue.metrics`); must not block. Examples: `statsd.StatsClient(…).incr`, and for
            baseplate's client `lambda name, number: client.counter(name).increment(number)`.
        serializer_default: given to the serializer as `default`, which writes values of your own types.

    Raises:
        QueueError: it cannot be opened or created; a subclass for each reason, with its remedy.
        TypeError, ValueError: an argument has the wrong type or value.
    """

    only_reads = True  # so it needs no copies: see `pipeline.only_reads`

    def __init__(
        self,
        name: str,
        event_serializer: Callable[[T], bytes] | None = None,
        *,
        max_messages: int | None = None,
        max_message_size: int | None = None,
        mode: int = DEFAULT_MODE,
        group: str | None = None,
        metrics: Callable[[str, int], object] | None = None,
        serializer_default: Callable[[Any], Any] | None = None,
    ) -> None:
        if event_serializer is not None and not callable(event_serializer):
            raise TypeError(
                f"event_serializer is {event_serializer!r}: give a function such as serialize_v2_event"
            )
        self.name = name
        serialize: Callable[..., bytes] = event_serializer or serialize_event
        self._serialize = partial(serialize, default=serializer_default) if serializer_default else serialize
        self._wishes: dict[str, Any] = {
            "max_messages": max_messages,
            "max_message_size": max_message_size,
            "mode": mode,
            "group": group,
        }
        self._accepted = self._full = self._too_large = self._unserializable = 0
        self._metrics = QueueMetrics(metrics, lambda: self.counts) if metrics else None
        self._old_queue: MessageQueue | None = None
        self._looking = threading.Lock()
        self._use(self._open(create=True))
        event_queues[id(self)] = self

    def put(self, event: T, timeout: float = _NO_WAIT) -> None:
        """Serialize an event and enqueue it.

        Args:
            event: anything the serializer takes.
            timeout: seconds to wait for room in a full queue, 0 by default. Waiting blocks the thread, or only
                the greenlet if gevent has patched `select` and `time`; leave it out in asyncio.

        Raises:
            EventSerializationError: the serializer does not take the event, or does not return bytes.
            EventTooLargeError: it is larger than this queue allows, or than 102,400 bytes.
            EventQueueFullError: there was no room for it.
            EventQueueClosedError: the queue was closed.
            ValueError: `timeout` is not a number of seconds, whether there is room or not.
        """
        if timeout is not _NO_WAIT:
            _check_timeout(timeout)
        try:
            message = self._serialize(event)
        except EventError:
            self._unserializable += 1
            raise
        except Exception as exc:  # the serializer may be third-party code
            raise self._unserialized(event, f"{type(exc).__name__}: {exc}") from exc
        if type(message) is not bytes:
            raise self._unserialized(event, f"its serializer returned {type(message).__name__}, not bytes")
        if len(message) <= self._limit_bytes and monotonic() < self._look_at:
            try:
                self._raw_send(message)
            except Refused:  # most likely because the queue is full
                pass
            else:
                self._accepted += 1
                return
        self._put_slowly(message, timeout)

    def send(self, event: T) -> None:
        """Put an event without waiting; `put` under the name that all stages have."""
        self.put(event)

    @property
    def counts(self) -> Counts:
        """The outcomes of `put` so far."""
        return Counts(self._accepted, self._full, self._too_large, self._unserializable)

    def close(self) -> None:
        """Close the queue; its events stay for the sidecar."""
        if self._metrics:
            self._metrics.send(now=True)
        self._queue.close()
        if old := self._old_queue:  # read once: another thread may replace it
            old.close()

    def make_object_for_context(self, name: str, span: object) -> Self:  # noqa: ARG002, baseplate passes them
        """Return the object for baseplate's request context: the queue itself."""
        return self

    def __call__(self, raw_value: str) -> Self:  # noqa: ARG002, baseplate passes the text of a setting
        """Return the queue itself: baseplate calls the entries of a configuration spec."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled: open one in each process, or fork, and use the same in all"
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts._asdict().items())
        return f"<EventQueue {self.name!r}: {counts}; {self._queue!r}>"

    def _put_slowly(self, message: bytes, timeout_seconds: float) -> None:
        """Check the queue, then enqueue a message, or raise the reason why not."""
        deadline = monotonic() + timeout_seconds
        while True:
            self._look()
            if len(message) > self._limit_bytes:
                self._too_large += 1
                raise EventTooLargeError(len(message), self._limit_bytes)
            queue = self._queue
            try:
                if self._refusal is None and queue.send(message):
                    self._accepted += 1
                    return
                remaining_seconds = deadline - monotonic()
                if remaining_seconds <= 0:
                    self._full += 1
                    raise EventQueueFullError(self.name) from self._refusal
                if self._refusal:
                    time.sleep(min(remaining_seconds, _RETRY_SECONDS))
                else:
                    queue.wait_writable(min(remaining_seconds, _LOOK_SECONDS))
            except EventQueueClosedError:
                if queue is self._queue:
                    raise
                # otherwise another thread has switched to the new one and dropped this one

    def _unserialized(self, event: T, reason: str) -> EventSerializationError:
        self._unserializable += 1
        return EventSerializationError("event", f"of type {type(event).__name__}", reason)

    def _open(self, *, create: bool) -> MessageQueue:
        """Open it for both directions, or only for sending if its owner allows no more."""
        if stand_in:
            return stand_in(self)
        with contextlib.suppress(QueuePermissionError):
            return MessageQueue.open(self.name, create=create, **self._wishes)
        return MessageQueue.open(self.name, create=create, read=False, **self._wishes)

    def _use(self, queue: MessageQueue) -> None:
        self._raw_send = queue.raw_send
        self._limit_bytes = min(queue.max_message_size, MAX_EVENT_SIZE)
        self._look_at = monotonic() + _LOOK_SECONDS
        self._refusal: QueueError | None = None  # why the replacement of our queue cannot be opened
        self._queue = queue  # last: a child forked before this line checks again

    def _look(self) -> None:
        """Check the queue, unless another thread is doing so."""
        if self._looking.acquire(blocking=False):
            try:
                self._follow()
            finally:
                self._looking.release()
        if self._metrics:
            self._metrics.send()

    def _follow(self) -> None:
        """Switch to the queue that now has the name, if ours was removed."""
        self._look_at = monotonic() + _LOOK_SECONDS
        if self._old_queue:  # at the last check another thread may have been about to send to it
            self._take_along(self._old_queue)
            self._old_queue.close()
            self._old_queue = None
        removed = self._queue
        if not removed.is_orphaned():
            return
        try:  # only its former owner creates the new one, so that it has the right owner
            self._use(self._open(create=removed.status().st_uid == os.geteuid()))
        except QueueError as exc:
            self._refusal = exc
            self._look_at = -math.inf  # no direct sends until it can be opened
        else:
            logger.warning("event queue %r was removed; switched to its replacement", self.name)
            self._take_along(removed)
            self._old_queue = removed

    def _take_along(self, removed: MessageQueue) -> None:
        """Move the messages of a removed queue to its replacement."""
        moved = lost = 0
        try:
            while (message := removed.receive()) is not None:
                if len(message) <= self._limit_bytes and self._queue.send(message):
                    moved += 1
                else:
                    lost += 1
        except QueuePermissionError:
            lost = removed.depth()
        if moved or lost:
            logger.warning("event queue %r: %d events moved to the new one, %d lost", self.name, moved, lost)


# Hooks of `eventpub.testing`: all queues of this process, and the stand-in for queues opened from now on.
event_queues: WeakValueDictionary[int, EventQueue[Any]] = WeakValueDictionary()
stand_in: Callable[[EventQueue[Any]], MessageQueue] | None = None


def _begin_in_child() -> None:
    for queue in list(event_queues.values()):
        queue._looking = threading.Lock()  # noqa: SLF001, our own; a fork may have copied one that is held


os.register_at_fork(after_in_child=_begin_in_child)


def _check_timeout(timeout: object) -> None:
    if not isinstance(timeout, (int, float)) or not timeout >= 0:  # NaN is not
        raise ValueError(f"timeout is {timeout!r}: give seconds, 0 or more; leave it out not to wait")
