"""Stage 1: event -> bytes -> queue.

`EventQueue.put` serializes an event and passes it to the kernel, which keeps it even if this process dies at
once. It does not wait unless asked to, starts no thread, waits for no lock, and raises only `EventError`,
unless its timeout is invalid. So it is safe in threads, greenlets and asyncio handlers, and before and after a
fork: parent and child share the queue.

Either the event is enqueued or `put` raises. A process that has a queue open can send to it after it was
removed, and nobody receives that: so `put` checks once a second, and whenever the queue is full. If it was
removed, `put` switches to the one that has its name now, or creates it if this user owned the old one, and
takes the old one's events along (see `removal`).
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import threading
import time
import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from eventpub.errors import (
    EventError,
    EventQueueClosedError,
    EventQueueFullError,
    EventSerializationError,
    EventTooLargeError,
    QueueError,
    QueuePermissionError,
)
from eventpub.serialization.unwritable import type_name
from eventpub.wire import MAX_EVENT_SIZE

from . import registry
from .access import DEFAULT_MODE
from .arguments import Message, choose_serializer, encode_message, read_timeout, show_error
from .kernel_queue import Refused
from .log import warn
from .message_queue import MessageQueue
from .metrics import Counts, QueueMetrics
from .removal import RemovedQueues
from .stand_in import find_stand_in

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
        event_serializer: event -> bytes, or text, which is sent as UTF-8; by default Thrift structs become
            version 2 events, mappings JSON.
        max_messages: events it holds, if it must be created; None for what the kernel allows, up to 10,000.
        max_message_size: bytes of an event, likewise; None for what the kernel allows, up to 102,400.
        mode, group: permission bits, and name or number of its group, likewise; None for this process's group.
        metrics: called by `put`, at most every ten seconds, and by `close`, with the name of a counter and its
            increment (see `queue.metrics`); must not block. Examples: `statsd.StatsClient(…).incr`, and for
            baseplate's client `lambda name, number: client.counter(name).increment(number)`.
        serializer_default: given to the serializer as `default`, which writes values of your own types.
        stand_in: in development, "print", "discard" or "memory" takes the events in the kernel's place; None
            for what EVENTPUB_QUEUE says (see `queue.stand_in`).

    Raises:
        QueueError: it cannot be opened or created; a subclass for each reason, with its remedy.
        TypeError, ValueError: an argument has the wrong type or value.
    """

    only_reads = True  # so it needs no copies: see `pipeline.only_reads`

    def __init__(
        self,
        name: str,
        event_serializer: Callable[[T], Message] | None = None,
        *,
        max_messages: int | None = None,
        max_message_size: int | None = None,
        mode: int = DEFAULT_MODE,
        group: str | None = None,
        metrics: Callable[[str, int], object] | None = None,
        serializer_default: Callable[[Any], Any] | None = None,
        stand_in: str | None = None,
    ) -> None:
        self._serialize: Callable[[T], Message] = choose_serializer(event_serializer, serializer_default)
        self.name = name
        self._queue: MessageQueue
        self._stand_in = find_stand_in(name, stand_in)
        sizes = {"max_messages": max_messages, "max_message_size": max_message_size}
        self._wishes: dict[str, Any] = {**sizes, "mode": mode, "group": group}
        self._accepted = self._full = self._too_large = self._unserializable = 0
        self._metrics = QueueMetrics(metrics, lambda: self.counts) if metrics else None
        self._removed = RemovedQueues()
        self._looking = threading.Lock()
        self._use(self._open(create=True))
        self._wishes["or_less"] = True  # for its successors: a removed one counts until all have closed it
        registry.register_queue(self)

    def put(self, event: T, timeout: float = _NO_WAIT) -> None:
        """Serialize an event and enqueue it.

        Args:
            event: anything the serializer takes.
            timeout: seconds to wait for room in a full queue, 0 by default. Waiting blocks the thread, or only
                the greenlet if gevent has patched `select` and `time`; leave it out in asyncio.

        Raises:
            EventSerializationError: the serializer does not take the event, or returns neither bytes nor text.
            EventTooLargeError: it is larger than this queue allows, or than 102,400 bytes.
            EventQueueFullError: there was no room for it.
            EventQueueClosedError: the queue was closed.
            ValueError: `timeout` is not a number of seconds, whether there is room or not.
        """
        if timeout is not _NO_WAIT:
            timeout = read_timeout(timeout)
        try:
            message = self._serialize(event)
        except EventError:
            self._unserializable += 1
            raise
        except Exception as exc:  # the serializer may be third-party code
            raise self._unserialized(event, f"{type_name(exc)}: {show_error(exc)}") from exc
        if type(message) is not bytes:
            try:
                message = encode_message(message)
            except (TypeError, ValueError) as exc:
                raise self._unserialized(event, f"its serializer returned {exc}") from exc
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
        """Close the queue, and never fail; its events stay for the sidecar.

        If it was removed meanwhile, this takes along what lies in it, for up to a second.
        """
        self.take_leave()
        if self._metrics:
            self._metrics.send(now=True)
        self._look_at = -math.inf  # something else may get the descriptor's number: nothing goes the short way
        self._queue.close()
        self._removed.close()

    def take_leave(self) -> None:
        """Take along what lies in removed queues: `close` does, and the end of the process."""
        with contextlib.suppress(EventError):  # it is closed already
            self._look(create=False)
            self._removed.take_leave(self._queue)

    def begin_in_child(self) -> None:
        """Start over in a forked child."""
        self._looking = threading.Lock()  # the fork may have copied one that is held
        self._removed.close()  # what is in hand is the parent's

    def lose_descriptor(self, fd: int) -> None:
        """Send nothing there, if it was this one's: called when another queue has got it."""
        if self._queue.fd == fd:
            self._look_at = -math.inf

    def make_object_for_context(self, name: str, span: object) -> Self:  # noqa: ARG002, baseplate passes them
        """Return the object for baseplate's request context: the queue itself."""
        return self

    def __call__(self, raw_value: str) -> Self:  # noqa: ARG002, baseplate passes the text of a setting
        """Return the queue itself: baseplate calls the entries of a configuration spec."""
        return self

    def __del__(self) -> None:
        queue = vars(self).get("_queue")
        if queue is not None and queue.holds_descriptor and not sys.is_finalizing():  # it may well last as long
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            queue.close()
            self._removed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled: open one in each process, or fork, and use the same")

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
                queue.is_orphaned()  # else it is closed; another thread may be at the look
                if not (self._refusal or self._removed.want_room(queue)) and queue.send(message):
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
        return EventSerializationError("event", f"of type {type_name(event)}", reason)

    def _open(self, *, create: bool) -> MessageQueue:
        """Open it for both directions, or only for sending if its owner allows no more."""
        if open_instead := registry.stand_in or self._stand_in:
            return open_instead(self)
        with contextlib.suppress(QueuePermissionError):
            return MessageQueue.open(self.name, create=create, **self._wishes)
        return MessageQueue.open(self.name, create=create, read=False, **self._wishes)

    def _use(self, queue: MessageQueue) -> None:
        registry.announce_descriptor(self, queue.fd)
        self._raw_send = queue.raw_send
        self._limit_bytes = min(queue.max_message_size, MAX_EVENT_SIZE)
        self._look_at = monotonic() + _LOOK_SECONDS
        self._refusal: QueueError | None = None  # why the replacement of our queue cannot be opened
        self._queue = queue  # last: a child forked before this line checks again

    def _look(self, *, create: bool = True) -> None:
        """Check the queue, unless another thread is doing so."""
        if self._looking.acquire(blocking=False):
            try:
                self._follow(create=create)
            finally:
                self._looking.release()
        if self._metrics:
            self._metrics.send()

    def _follow(self, *, create: bool) -> None:
        """Switch to the queue that now has the name, if ours was removed."""
        queue = self._queue
        self._look_at = -math.inf  # for good if it was closed: its descriptor may be another's by now
        was_removed = queue.is_orphaned()
        self._removed.move_messages(queue)
        if not self._removed.want_room(queue):  # what is in hand would be lost with this process: it goes first
            self._look_at = monotonic() + _LOOK_SECONDS
        if not was_removed:
            return
        try:  # only its former owner creates the new one, so that it has the right owner
            self._use(self._open(create=create and queue.status().st_uid == os.geteuid()))
        except QueueError as exc:
            self._refusal = exc
            self._look_at = -math.inf  # no direct sends until it can be opened
        else:
            warn(logger, "event queue %r was removed; switched to its replacement", self.name)
            self._removed.add(queue, self._queue)
