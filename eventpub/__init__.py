"""Put events on a local queue in a few microseconds; a sidecar delivers every one of them.

>>> from eventpub import EventQueue, serialize_v2_event       # doctest: +SKIP
>>> events = EventQueue("v2", serialize_v2_event)             # doctest: +SKIP
>>> events.put(Event(source="shop", action="buy", noun="tea"))  # doctest: +SKIP
"""

from __future__ import annotations

from eventpub.errors import (
    ConfigError,
    EventError,
    EventPubError,
    EventQueueClosedError,
    EventQueueFullError,
    EventSerializationError,
    EventTooLargeError,
    QueueError,
)
from eventpub.event_queue import EventQueue
from eventpub.serialize import serialize_json_event, serialize_v2_event
from eventpub.wire import MAX_EVENT_SIZE, MAX_QUEUE_SIZE

__all__ = [  # noqa: RUF022, grouped by stage
    # put events
    "EventQueue",
    "MAX_EVENT_SIZE",
    "MAX_QUEUE_SIZE",
    # serialize them
    "serialize_json_event",
    "serialize_v2_event",
    # what can go wrong
    "ConfigError",
    "EventError",
    "EventPubError",
    "EventQueueClosedError",
    "EventQueueFullError",
    "EventSerializationError",
    "EventTooLargeError",
    "QueueError",
]
__version__ = "0.1.0"
