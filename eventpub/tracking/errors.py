"""What trackers, routers, processors and backends raise."""

from __future__ import annotations

from eventpub.errors import EventPubError, EventTooLargeError, StageError, UnwritableValueError


class EventEmissionExit(EventPubError):  # noqa: N818, it ends an event as intended
    """Raised by a processor to end an event: no later processor and no backend of its router gets it."""


class EventSkipped(EventPubError):  # noqa: N818, as intended too
    """Raised by a backend's `send` for an event it does not take, by design: noted, and no failure."""


class NoTransformerImplemented(EventSkipped):
    """Raised by a backend that transforms events, for one it knows no form for."""


class NoBackendEnabled(EventSkipped):
    """Raised by a backend that is switched off."""


class EventTypeError(UnwritableValueError):
    """Raised in tests for a field of a typed event that is not of its type; outside of tests it is counted."""

    def __str__(self) -> str:
        return f"{self.field} is {self.value}; {self.reason}"


class FilterError(StageError, TypeError):  # event-tracking's filters raise TypeErrors for some of it
    """The filter cannot be built: fix what `given` shows."""


ImproperlyConfigured = FilterError  # as event-tracking calls it


class TrackerMissingError(EventPubError, KeyError):
    """Raised by `get_tracker` when no tracker has that name: call `register_tracker` first."""

    def __init__(self, tracker_name: str) -> None:
        super().__init__(tracker_name)
        self.tracker_name = tracker_name

    def __str__(self) -> str:
        name = repr(self.tracker_name)
        return f"no tracker is registered as {name}; call register_tracker(Tracker(...), {name}) first"


class LogLineTooLongError(EventTooLargeError):
    """Raised by `LoggerBackend` for an event longer than its `max_event_size`: send less, or allow more."""

    def __str__(self) -> str:
        return (
            f"the event takes {self.size_bytes:,} bytes and its line may have {self.limit_bytes:,}; send less, "
            "or give the LoggerBackend a larger max_event_size"
        )
