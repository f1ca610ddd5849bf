"""Record what this process puts on any EventQueue, instead of passing it to the kernel."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from eventpub.queue import registry
from eventpub.serialization.unwritable import strict_process

from .memory_queue import MemoryMessages
from .record import Record, Serializer, active, note_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.queue.event_queue import EventQueue
    from eventpub.queue.message_queue import MessageQueue


class _Diverted(NamedTuple):
    """What a queue used before."""

    queue: EventQueue[Any]
    serialize: Serializer
    messages: MessageQueue


_diverted: list[_Diverted] = []
_changing = threading.Lock()


@contextlib.contextmanager
def capture_events(*, strict: bool = True) -> Iterator[Record]:
    """Capture what any thread of this process puts on any `EventQueue` within the block.

    The kernel takes no part: queues that are open are diverted until the block ends, and those that are opened
    within it stay in memory for good. Serializers, limits of size and errors are the real ones; no queue is
    ever full. Blocks may be nested, or overlap in several threads: each captures what is put while it lasts.

    Args:
        strict: whether a value that cannot be written, or a typed event with a wrong one, is an error, which
            also `Tracker.emit` raises; True by default. Outside of tests the event goes without the value.

    Returns:
        The record, as a context manager gives it; it can still be read after the block.
    """
    record = Record()
    with _changing:
        if not active:
            _divert_queues()
        active.append(record)
    try:
        with strict_process(strict=strict):
            yield record
    finally:
        with _changing:
            if active == [record]:
                _restore_queues()
            active.remove(record)


def _divert_queues() -> None:
    registry.stand_in = _in_memory
    for reference in registry.event_queues.valuerefs():
        queue: EventQueue[Any] | None = reference()
        if queue is None or isinstance(queue._queue, MemoryMessages) or queue._queue.fd < 0:
            continue
        _diverted.append(_Diverted(queue, queue._serialize, queue._queue))
        queue._use(_in_memory(queue))


def _restore_queues() -> None:
    registry.stand_in = None
    for queue, serialize, messages in _diverted:
        in_memory = queue._queue
        was_closed = in_memory.fd < 0
        queue._serialize = serialize
        queue._use(messages)
        in_memory.close()  # a thread about to put into it is refused, and retries with the kernel's queue
        if was_closed:
            messages.close()
    _diverted.clear()


def _in_memory(queue: EventQueue[Any]) -> MemoryMessages:
    """Return the stand-in for the kernel's queue, and wrap the serializer so that it notes events."""
    limit_bytes = vars(queue).get("_limit_bytes", queue._wishes["max_message_size"])
    queue._serialize = note_events(queue._serialize)
    return MemoryMessages(queue.name, [], None, limit_bytes)
