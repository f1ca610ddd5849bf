"""Test applications that put events: without a kernel queue or a sidecar, and with access to what was put.

>>> from eventpub import EventQueue
>>> from eventpub.testing import capture_events
>>> with capture_events() as captured:
...     EventQueue("v2j").put({"noun": "tea"})
>>> captured.events
[{'noun': 'tea'}]

Under pytest the fixtures of `eventpub.pytest_plugin` need no import.
"""

from __future__ import annotations

from eventpub.serialization.unwritable import strict_values

from .capture import capture_events
from .collected import CollectedEvents, RefusedEvent, run_dev
from .memory_queue import MemoryQueue
from .named import NamedEvents
from .posix import posix_queue, take_messages
from .record import Put, Record

__all__ = [
    "CollectedEvents",
    "MemoryQueue",
    "NamedEvents",
    "Put",
    "Record",
    "RefusedEvent",
    "capture_events",
    "posix_queue",
    "run_dev",
    "strict_values",
    "take_messages",
]
