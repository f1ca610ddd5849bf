"""What registering handlers and processing events raise."""

from __future__ import annotations

from eventpub.errors import EventPubError


class ProcessingError(EventPubError):
    """Base of everything `eventpub.processing` raises: handlers were declared in a way that cannot work."""


class HandlerRegisteredError(ProcessingError):
    """Raised by `register` and `load_from` if the name `handler` is taken."""

    def __init__(self, handler: str) -> None:
        super().__init__(handler)
        self.handler = handler

    def __str__(self) -> str:
        return (
            f"a handler {self.handler!r} is registered already; register it once, or this one under another "
            "name: register(function, name=NAME)"
        )


class HandlerLoadError(ProcessingError):
    """Raised by `load_from` for an entry point without a usable handler; none of its group is registered."""

    def __init__(self, group: str, entry_point: str, reason: str) -> None:
        super().__init__(group, entry_point, reason)
        self.group = group
        self.entry_point = entry_point
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"entry point {self.entry_point!r} of group {self.group!r} has no usable handler: {self.reason}; "
            "write NAME = MODULE:FUNCTION and reinstall the distribution, or uninstall it"
        )


class RequirementsError(ProcessingError):
    """Base of what is raised when the requirements of handlers cannot be met."""


class HandlerMissingError(RequirementsError):
    """Raised when `handler` names an unregistered handler in its `relation`: requires or required_by."""

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


class RequirementLoopError(RequirementsError):
    """Raised when handlers require each other in a circle: `loop`, which begins and ends with the same one."""

    def __init__(self, loop: tuple[str, ...]) -> None:
        super().__init__(loop)
        self.loop = loop

    def __str__(self) -> str:
        return (
            f"handlers require each other in a loop, {' -> '.join(self.loop)}, so none of them can be first; "
            "remove one of these @requires or @required_by"
        )


class IncompatibleWantsError(RequirementsError):
    """Raised when `handler` gets an event, but `required`, which must run before it, does not.

    `event_name` is the event's name; None stands for all names that `required` does not want.
    """

    def __init__(self, handler: str, required: str, event_name: str | None) -> None:
        super().__init__(handler, required, event_name)
        self.handler = handler
        self.required = required
        self.event_name = event_name

    def __str__(self) -> str:
        event = "an event of any other name" if self.event_name is None else f"event {self.event_name!r}"
        return (
            f"the wants of handlers {self.handler!r} and {self.required!r} are incompatible: {event} goes to "
            f"{self.handler!r} but not to {self.required!r}, which must run before it; let the @want of "
            f"{self.required!r} accept it too, or that of {self.handler!r} exclude it"
        )


class HandlerReturnError(ProcessingError):
    """Raised when `handler` returned something other than a list of events or None: a value of `type_name`."""

    def __init__(self, handler: str, type_name: str) -> None:
        super().__init__(handler, type_name)
        self.handler = handler
        self.type_name = type_name

    def __str__(self) -> str:
        return f"handler {self.handler!r} returned a {self.type_name}; return a list of events, or None"


# As EvProc calls them.
EventException = ProcessingError
ProcessorReregisterException = HandlerRegisteredError
IncompatibleRequirementsException = RequirementsError
