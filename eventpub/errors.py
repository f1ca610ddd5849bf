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


# --- raised when events are handled in this process -------------------------------------------------------


class ProcessingError(EventPubError):
    """Base of everything `eventpub.processing` raises: handlers were declared in a way that cannot work."""


class HandlerRegisteredError(ProcessingError):
    """Raised by `register` and `load_from` for a name that is taken: `handler`."""

    def __init__(self, handler: str) -> None:
        super().__init__(handler)
        self.handler = handler

    def __str__(self) -> str:
        return (
            f"a handler {self.handler!r} is registered already; register it once, or this one under another "
            "name: register(function, name=NAME)"
        )


class HandlerLoadError(ProcessingError):
    """Raised by `load_from` for an entry point that gives no handler; none of its group is registered."""

    def __init__(self, group: str, entry_point: str, reason: str) -> None:
        super().__init__(group, entry_point, reason)
        self.group = group
        self.entry_point = entry_point
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"entry point {self.entry_point!r} of group {self.group!r} gives no handler: {self.reason}; write "
            "NAME = MODULE:FUNCTION, and install the distribution anew, or uninstall it"
        )


class HandlerMissingError(ProcessingError):
    """Raised when `handler` names another in its `relation`, requires or required_by, that is not there."""

    def __init__(self, handler: str, relation: str, missing: str, registered: tuple[str, ...]) -> None:
        super().__init__(handler, relation, missing, registered)
        self.handler = handler
        self.relation = relation
        self.missing = missing
        self.registered = registered

    def __str__(self) -> str:
        return (
            f"handler {self.handler!r} has @{self.relation}({self.missing!r}), and no handler has that name; "
            f"register it, or name one of these: {', '.join(self.registered)}"
        )


class RequirementLoopError(ProcessingError):
    """Raised when handlers require each other in a circle: `loop`, whose first is its last."""

    def __init__(self, loop: tuple[str, ...]) -> None:
        super().__init__(loop)
        self.loop = loop

    def __str__(self) -> str:
        return (
            f"handlers require each other in a loop, {' -> '.join(self.loop)}, so none of them can be first; "
            "take away one of these @requires or @required_by"
        )


class IncompatibleWantsError(ProcessingError):
    """Raised when `handler` is wanted for an event, and `required`, which has to go before it, is not.

    `event_name` is the event's; None stands for all names that `required` does not want.
    """

    def __init__(self, handler: str, required: str, event_name: str | None) -> None:
        super().__init__(handler, required, event_name)
        self.handler = handler
        self.required = required
        self.event_name = event_name

    def __str__(self) -> str:
        event = "an event of any other name" if self.event_name is None else f"event {self.event_name!r}"
        return (
            f"the wants of handlers {self.handler!r} and {self.required!r} are incompatible: {event} is for "
            f"{self.handler!r} and not for {self.required!r}, which has to go before it; let the @want of "
            f"{self.required!r} take it too, or that of {self.handler!r} leave it out"
        )


class HandlerReturnError(ProcessingError):
    """Raised when `handler` returned something other than a list of events or None: `value` shows it."""

    def __init__(self, handler: str, value: str) -> None:
        super().__init__(handler, value)
        self.handler = handler
        self.value = value

    def __str__(self) -> str:
        return f"handler {self.handler!r} returned {self.value}; return a list of events, or None"


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
