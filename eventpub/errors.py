"""The errors eventpub raises, in one tree under `EventPubError`; `tracking` and `processing` add to it.

Errors carry their facts as fields, build their own message from them, end with what to do next, and pickle
(the fields are the exception's `args`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventpub.wire import MAX_EVENT_SIZE

from .printable import hide_userinfo

if TYPE_CHECKING:
    from collections.abc import Sequence


DISTRIBUTION = "eventpub-sidecar"  # what pip installs; `eventpub` on the package index is another project


def suggest_install(extra: str) -> str:
    """Return the command that installs an optional part, for a message to end with."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


class EventPubError(Exception):
    """Root of the tree: catch it to catch everything that eventpub raises on purpose."""


# --- raised by EventQueue.put ----------------------------------------------------------------------------


class EventError(EventPubError):
    """Base of everything that can be wrong with one event; if `EventQueue.put` raises it, nothing was enqueued.

    Args:
        message: what is wrong; several texts become a line each.
        origin: the reporter, written in front of the message; default None.
    """

    origin: str | None = None

    def __init__(self, message: str | Sequence[str] = "", origin: str | None = None) -> None:
        super().__init__(message, *([] if origin is None else [origin]))
        self.message = message if isinstance(message, str) else "\n".join(message)
        self.origin = origin

    def __str__(self) -> str:
        return self.message if self.origin is None else f"{self.origin}: {self.message}"


class _EventFactsError(EventError):
    """Base of the errors below, which build their message from their fields."""

    def __init__(self, *facts: object) -> None:
        EventPubError.__init__(self, *facts)


class EventTooLargeError(_EventFactsError):
    """Raised by `put` for an event whose serialized form exceeds the queue's limit: send a smaller one.

    `size_bytes` and `limit_bytes` say by how much; the limit is the queue's own, not the configured one. A test
    may raise it without one, as it does with baseplate's; then it is what any queue takes at most.
    """

    def __init__(self, size_bytes: int, limit_bytes: int = MAX_EVENT_SIZE) -> None:
        super().__init__(size_bytes, limit_bytes)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        fact = f"the event has {self.size_bytes:,} bytes"
        if self.limit_bytes >= MAX_EVENT_SIZE:
            return f"{fact}; no queue takes more than {self.limit_bytes:,}; send a smaller event"
        return (
            f"{fact}; this queue was created for {self.limit_bytes:,}; send a smaller event, or make the queue "
            f"larger with `eventpub queue resize NAME --max-message-size`, up to {MAX_EVENT_SIZE:,} (`eventpub "
            "doctor` tells what the kernel allows)"
        )


class EventQueueFullError(_EventFactsError):
    """Raised by `put` when the queue has no room: drop the event, or call again with a `timeout`.

    `queue_name` is empty if a test raises it without one, as it does with baseplate's.
    """

    def __init__(self, queue_name: str = "") -> None:
        super().__init__(queue_name)
        self.queue_name = queue_name

    def __str__(self) -> str:
        which = f" {self.queue_name!r}" if self.queue_name else ""
        return (
            f"the event queue{which} is full; usually its sidecar is not running, has filled its "
            "spool because the collector is down, or the queue is too short for the bursts it gets "
            "(`eventpub doctor` tells which)"
        )


class EventSerializationError(_EventFactsError):
    """Raised by `put` for an event that cannot be written: `field` says where, `reason` what to do.

    `value` names the type of the value. The value itself is never shown: errors go into logs.
    """

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field = field
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"the event cannot be serialized: {self.field} is {self.value}: {self.reason}"


class UnwritableValueError(EventSerializationError):
    """Raised where values are strict, as in tests, for one that would else be replaced by a marker.

    `Tracker.emit` lets it pass, so that the test fails. Outside of tests it is never raised.
    """


class EventQueueClosedError(_EventFactsError):
    """Raised by `put` after `close`: open a new `EventQueue`."""

    def __init__(self, queue_name: str) -> None:
        super().__init__(queue_name)
        self.queue_name = queue_name

    def __str__(self) -> str:
        return f"the event queue {self.queue_name!r} was closed; open a new EventQueue({self.queue_name!r})"


# --- raised when a queue is opened -----------------------------------------------------------------------


class QueueError(EventPubError):
    """Base of everything that opening a queue raises; `queue_name` and `reason` say which and why."""

    def __init__(self, queue_name: str, reason: str) -> None:
        super().__init__(queue_name, reason)
        self.queue_name = queue_name
        self.reason = reason

    def __str__(self) -> str:
        return f"queue {self.queue_name!r}: {self.reason}"


class QueueNameError(QueueError):
    """Not a valid queue name: use letters, digits, dot, dash and underscore."""


class QueueMissingError(QueueError):
    """No such queue, and the caller did not ask to create it: start its sidecar first."""


class QueuePermissionError(QueueError):
    """The queue belongs to another user: `reason` names owner, mode and the settings that give access."""


class QueueLimitError(QueueError):
    """The kernel refuses a queue of that size: `reason` has the commands that would allow it."""


class QueueUnsupportedError(QueueError):
    """This system, kernel or container has no POSIX message queues: `reason` says what to do instead."""


class QueueStandInError(QueueError):
    """What EVENTPUB_QUEUE or `stand_in` asks for is unknown, or would keep events from another process."""


# --- raised when a pipeline is built ---------------------------------------------------------------------


class StageError(EventPubError, ValueError):
    """Base of the errors in building a pipeline: `argument`, `given` and `reason` say what to fix."""

    def __init__(self, argument: str, given: str, reason: str) -> None:
        super().__init__(argument, given, reason)
        self.argument = argument
        self.given = given
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.argument}: {self.given} {self.reason}"


class NotAStageError(StageError):
    """The backend has no `send(event)`, or the processor is not callable: pass another object."""


# --- raised when a process is configured -----------------------------------------------------------------


class ConfigError(EventPubError):
    """A configuration file has a bad value: fix the named key and start again.

    Of the value only the first line is kept, without user and password if it is a URL.
    """

    def __init__(self, section: str, key: str, value: str, allowed: str) -> None:
        value = hide_userinfo(value.partition("\n")[0])
        super().__init__(section, key, value, allowed)
        self.section = section
        self.key = key
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        place = f"[{self.section}] {self.key}" if self.key else f"[{self.section}]"
        value = f" = {self.value}" if self.value else ""
        return f"{place}{value}: {self.allowed}"


class NotYetError(ConfigError):
    """Something that a configuration file names cannot be used now, but may be soon without a change."""


# --- raised by Event and by handlers of events -----------------------------------------------------------


class EventClosedError(_EventFactsError):
    """Raised on a change of a closed event: make a new event, or change it before `close`."""

    def __init__(self, event_name: str, uid: str) -> None:
        super().__init__(event_name, uid)
        self.event_name = event_name
        self.uid = uid

    def __str__(self) -> str:
        return f"event {self.event_name!r} ({self.uid}) is closed; change it before close(), or make a new one"


class AttachmentError(_EventFactsError):
    """A file cannot be attached to an event, or cannot be read when the event is sent: `reason` says why."""

    def __init__(self, attachment: str, path: str, reason: str) -> None:
        super().__init__(attachment, path, reason)
        self.attachment = attachment
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"attachment {self.attachment!r}, file {self.path}: {self.reason}"


class EventFileError(_EventFactsError):
    """Raised by `Event.load` for a file that `Event.dump` did not write: pass one that it wrote."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} was not written by Event.dump: {self.reason}"


class HandlerError(EventPubError):
    """A handler of events cannot be found or set up: `reason` says what to fix."""

    def __init__(self, handler: str, reason: str) -> None:
        super().__init__(handler, reason)
        self.handler = handler
        self.reason = reason

    def __str__(self) -> str:
        return f"event handler {self.handler!r}: {self.reason}"


# --- what may be logged of an error that third-party code has raised on an event -------------------------


def describe_error(error: BaseException) -> str:
    """Return what may be logged: of our own errors all, as they hold no values, of others mostly the type.

    Messages of the operating system and of servers are included.
    """
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, (EventPubError, OSError)) else kind


def find_traceback(error: BaseException) -> Any:
    """Return what `exc_info` takes, without what the error says, and nothing for errors that say enough."""
    if isinstance(error, EventPubError):  # a queue may be full for thousands of events
        return None
    try:
        silent = type(error).__new__(type(error))
    except Exception:  # noqa: BLE001, third-party code
        return None
    return type(error), silent, error.__traceback__
