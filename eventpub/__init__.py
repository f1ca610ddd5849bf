"""Put events on a local queue in a few microseconds; a sidecar delivers every one of them.

>>> from eventpub import EventQueue, serialize_v2_event       # doctest: +SKIP
>>> from eventpub.schemas.event.ttypes import Event           # doctest: +SKIP
>>> events = EventQueue("v2", serialize_v2_event)             # doctest: +SKIP
>>> events.put(Event(source="shop", action="buy", noun="tea"))  # doctest: +SKIP

`eventpub.Event` is another one, an event with data and attachments: docs/pipeline.md tells them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventpub.queue.event_queue import EventQueue
from eventpub.serialization.serialize import serialize_json_event, serialize_v2_event
from eventpub.wire import MAX_EVENT_SIZE, MAX_QUEUE_SIZE

from .errors import (
    ConfigError,
    EventError,
    EventPubError,
    EventQueueClosedError,
    EventQueueFullError,
    EventSerializationError,
    EventTooLargeError,
    QueueError,
    UnwritableValueError,
)

if TYPE_CHECKING:
    from eventpub.event import Event, unique_id
    from eventpub.event.to_v2 import to_v2_event

__all__ = [  # noqa: RUF022, grouped by stage
    # make events
    "Event",
    "unique_id",
    # put events
    "EventQueue",
    "MAX_EVENT_SIZE",
    "MAX_QUEUE_SIZE",
    # serialize them
    "serialize_json_event",
    "serialize_v2_event",
    "to_v2_event",
    # what can go wrong
    "ConfigError",
    "EventError",
    "EventPubError",
    "EventQueueClosedError",
    "EventQueueFullError",
    "EventSerializationError",
    "EventTooLargeError",
    "QueueError",
    "UnwritableValueError",
]
__version__ = "0.1.0"

# Imported at the first use: not every application needs them.
_LATER = {"Event": "event", "unique_id": "event", "to_v2_event": "event.to_v2"}

if not TYPE_CHECKING:  # or type checkers would accept any name as one of ours

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415

        value = globals()[name] = getattr(import_module(f"eventpub.{_LATER[name]}"), name)
        return value
