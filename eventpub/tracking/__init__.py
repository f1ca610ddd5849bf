"""Track events: add time and context to name and data, run processors, send to backends.

>>> from eventpub.tracking import LoggerBackend, Tracker, emit, register_tracker
>>> register_tracker(Tracker({"log": LoggerBackend(name="events")}))
>>> emit("shop.cart.opened", {"items": 2})
"""

from __future__ import annotations

from eventpub.errors import NotAStageError, StageError

from .background import AsyncBackend, Books, Loss
from .contexts import ContextLocator, DefaultContextLocator, carried
from .errors import (
    EventEmissionExit,
    EventSkipped,
    EventTypeError,
    FilterError,
    ImproperlyConfigured,
    LogLineTooLongError,
    NoBackendEnabled,
    NoTransformerImplemented,
    TrackerMissingError,
)
from .failures import Failures
from .filters import NameAllowlist, NameWhitelistProcessor, RegexFilter
from .logger import DateTimeJSONEncoder, LoggerBackend, serialize_log_line
from .memory import MemoryBackend
from .personal import Hash, Redact
from .process_end import drain
from .routing import EventProcessor, RoutingBackend, TrackedEvent
from .sampling import RateLimit, Sample
from .snapshot import snapshot
from .tracker import DEFAULT_TRACKER_NAME, Tracker, emit, get_tracker, register_tracker
from .typed import TypedEvent, event

__all__ = [  # noqa: RUF022, grouped by stage
    # emit events
    "DEFAULT_TRACKER_NAME",
    "TrackedEvent",
    "Tracker",
    "TypedEvent",
    "emit",
    "event",
    "get_tracker",
    "register_tracker",
    # what is in force while they are
    "ContextLocator",
    "DefaultContextLocator",
    "carried",
    # process them
    "EventEmissionExit",
    "EventProcessor",
    "Hash",
    "NameAllowlist",
    "NameWhitelistProcessor",
    "RateLimit",
    "Redact",
    "RegexFilter",
    "RoutingBackend",
    "Sample",
    # take them
    "AsyncBackend",
    "Books",
    "Loss",
    "DateTimeJSONEncoder",
    "LoggerBackend",
    "MemoryBackend",
    "drain",
    "serialize_log_line",
    "snapshot",
    # what can go wrong
    "Failures",
    "EventSkipped",
    "EventTypeError",
    "FilterError",
    "ImproperlyConfigured",
    "LogLineTooLongError",
    "NoBackendEnabled",
    "NoTransformerImplemented",
    "NotAStageError",
    "StageError",
    "TrackerMissingError",
]
