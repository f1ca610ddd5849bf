"""Every error eventpub raises, in one tree under `EventPubError`.

Errors carry their facts as fields, build their own message from them, end with what to do next, and pickle
(the fields are the exception's `args`).
"""

from __future__ import annotations

from eventpub.wire import MAX_EVENT_SIZE


class EventPubError(Exception):
    """Root of the tree: catch it to catch whatever eventpub raises on purpose."""


# --- raised by EventQueue.put ----------------------------------------------------------------------------


class EventError(EventPubError):
    """Base of everything `EventQueue.put` raises; the event was not enqueued."""


class EventTooLargeError(EventError):
    """Raised by `put` for an event whose serialized form exceeds what the queue takes: send less.

    `size_bytes` and `limit_bytes` tell by how much; the limit is the queue's own, not the configured one.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(size_bytes, limit_bytes)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        fact = f"the event takes {self.size_bytes:,} bytes and this queue takes {self.limit_bytes:,} at most"
        if self.limit_bytes >= MAX_EVENT_SIZE:
            return f"{fact}, as any does; send less"
        return (
            f"{fact}, as it was made; send less, or drop it and make it anew for up to {MAX_EVENT_SIZE:,} "
            "(`eventpub queue create NAME --max-message-size`; `eventpub doctor` tells what the kernel allows)"
        )


class EventQueueFullError(EventError):
    """Raised by `put` when the queue has no room: drop the event, or call again with a `timeout`."""

    def __init__(self, queue_name: str) -> None:
        super().__init__(queue_name)
        self.queue_name = queue_name

    def __str__(self) -> str:
        return (
            f"the event queue {self.queue_name!r} is full; usually its sidecar is not running, has filled its "
            "spool because the collector is down, or the queue is too short for the bursts it gets "
            "(`eventpub doctor` tells which)"
        )


class EventSerializationError(EventError):
    """Raised by `put` for an event that cannot be written: `field` and `value` say what is wrong with it."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field = field
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"the event cannot be serialized: {self.field} is {self.value}: {self.reason}"


class EventQueueClosedError(EventError):
    """Raised by `put` after `close`: open a new `EventQueue`."""

    def __init__(self, queue_name: str) -> None:
        super().__init__(queue_name)
        self.queue_name = queue_name

    def __str__(self) -> str:
        return f"the event queue {self.queue_name!r} was closed; open a new EventQueue({self.queue_name!r})"


# --- raised when a queue is opened -----------------------------------------------------------------------


class QueueError(EventPubError):
    """Base of everything opening a queue raises; `queue_name` and `reason` say which and why."""

    def __init__(self, queue_name: str, reason: str) -> None:
        super().__init__(queue_name, reason)
        self.queue_name = queue_name
        self.reason = reason

    def __str__(self) -> str:
        return f"queue {self.queue_name!r}: {self.reason}"


class QueueNameError(QueueError):
    """The name cannot be a queue's name: use letters, digits, dot, dash and underscore."""


class QueueMissingError(QueueError):
    """No such queue, and the caller did not ask to create it: start its sidecar first."""


class QueuePermissionError(QueueError):
    """The queue belongs to somebody else: `reason` names its owner, its mode and the setting that opens it."""


class QueueLimitError(QueueError):
    """The kernel refuses a queue of that size: `reason` holds the commands that would allow it."""


class QueueUnsupportedError(QueueError):
    """This kernel, or this container, has no POSIX message queues."""


# --- raised by the stages behind a tracker ---------------------------------------------------------------


class EventEmissionExit(EventPubError):  # noqa: N818, it ends an event as intended
    """Raised by a processor to end an event: no later processor and no backend of its router gets it."""


class EventSkipped(EventPubError):  # noqa: N818, as intended too
    """Raised by a backend's `send` for an event it does not take, by design: noted, and no failure."""


class NoTransformerImplemented(EventSkipped):
    """Raised by a backend that transforms events, for one it knows no form for."""


class NoBackendEnabled(EventSkipped):
    """Raised by a backend that is switched off."""


class StageError(EventPubError, ValueError):
    """Base of what building a tracker raises: `argument`, `given` and `reason` say what to mend."""

    def __init__(self, argument: str, given: str, reason: str) -> None:
        super().__init__(argument, given, reason)
        self.argument = argument
        self.given = given
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.argument}: {self.given} {self.reason}"


class NotAStageError(StageError):
    """The backend has no `send(event)`, or the processor cannot be called: give an instance that has."""


class FilterError(StageError):
    """The filter cannot be built: mend what `given` shows."""


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


# --- raised when a process is configured -----------------------------------------------------------------


class ConfigError(EventPubError):
    """A configuration file says something that cannot be used: fix the named key and start again."""

    def __init__(self, section: str, key: str, value: str, allowed: str) -> None:
        super().__init__(section, key, value, allowed)
        self.section = section
        self.key = key
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        place = f"[{self.section}] {self.key}" if self.key else f"[{self.section}]"
        value = f" = {self.value}" if self.value else ""
        return f"{place}{value}: {self.allowed}"
