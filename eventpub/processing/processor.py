"""Events -> handlers -> further events, until none is left.

An event goes to every handler that wants it, in the order of their requirements. The events that handlers
return wait until it is done, and until all are that were returned earlier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar, Union

from .declare import read_declaration
from .errors import HandlerLoadError, HandlerRegisteredError, HandlerReturnError
from .schedule import Handler, Schedule
from .stop import StopProcessing

E = TypeVar("E")

HandlerFunction = Callable[["Processor[E]", E], Union[Iterable[E], None]]  # noqa: UP007, evaluated by Python 3.10


class Processor(Generic[E]):
    """Calls the handlers that were registered for the events that are passed to it.

    Events are mappings, Thrift structs, instances of `Event` or of anything else that has a `name`. Threads may
    share a processor: a handler that is registered while events are processed is called from the next event on.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}  # replaced, never changed: a schedule tells by it if it is old
        self._schedule = Schedule(self._handlers)
        self._registering = Lock()

    def register(self, func: HandlerFunction[E], name: str | None = None) -> None:
        """Have a handler called, from the next event on.

        Args:
            func: called with this processor and an event; it returns a list of further events, or None.
            name: its name among the handlers; by default the function's own.

        Raises:
            HandlerRegisteredError: another one has that name.
            TypeError: `func` cannot be called, or has no name of its own and is not given one.
        """
        if not callable(func):
            raise TypeError(f"a handler is a function, not {func!r}")
        own_name = name or getattr(func, "__name__", None)
        if own_name is None:
            raise TypeError(f"{func!r} has no __name__; give it one: register(function, name=NAME)")
        self._add([Handler(own_name, func, read_declaration(func))])

    def load_from(self, entry_point_group: str) -> None:
        """Register the functions that installed distributions offer, each under the name of its entry point.

        They are registered in the order of their names, so that it is the same everywhere; all of them or none.

        Args:
            entry_point_group: as in `[project.entry-points."GROUP"]`; it may have no entry points.

        Raises:
            HandlerLoadError: one cannot be imported, or is no function.
            HandlerRegisteredError: the name of one is taken.
        """
        from importlib.metadata import entry_points  # noqa: PLC0415, 15 ms for whoever does not need it

        found = []
        for point in sorted(entry_points(group=entry_point_group), key=lambda point: point.name):
            try:
                func = point.load()
            except Exception as exc:  # whatever a module of somebody else's does when it is imported
                reason = f"{point.value} fails with {type(exc).__name__}: {exc}"
                raise HandlerLoadError(entry_point_group, point.name, reason) from exc
            if not callable(func):
                raise HandlerLoadError(entry_point_group, point.name, f"{point.value} is {func!r}, no function")
            found.append(Handler(point.name, func, read_declaration(func)))
        self._add(found)

    def check(self) -> None:
        """Raise now what `process` would raise for handlers that do not fit together, whatever the event.

        Raises:
            HandlerMissingError: one requires, or is required by, another that is not registered.
            RequirementLoopError: some require each other.
            IncompatibleWantsError: one is called for events that another, which it requires, is not called for.
        """
        if self._schedule.handlers is not self._handlers:
            self._schedule = Schedule(self._handlers)

    def process(self, event: E) -> Any:
        """Call the handlers that want an event, then those that want the events they returned, and so on.

        Returns:
            None, or what a handler has given to `StopProcessing`.

        Raises:
            ProcessingError: what `check` raises; IncompatibleWantsError, before any handler is called, if a
                filter leaves out one that another requires; HandlerReturnError.
            Exception: what a handler or a filter raised; events that wait are not processed.
        """
        waiting: deque[E] | None = None
        while True:
            schedule = self._schedule
            if schedule.handlers is not self._handlers:
                self.check()
                schedule = self._schedule
            try:
                for handler, call, _ in schedule.chain(event):
                    returned = call(self, event)
                    if returned is not None:
                        if waiting is None:
                            waiting = deque()
                        waiting.extend(_list_events(handler, returned))
            except StopProcessing as stop:
                if stop.has_retval:
                    return stop.retval
            if not waiting:
                return None
            event = waiting.popleft()

    def send(self, event: E) -> None:
        """Process an event, as `process` does, and return nothing: the name by which every stage is called."""
        self.process(event)

    def _add(self, handlers: list[Handler]) -> None:
        with self._registering:
            registered = dict(self._handlers)
            for handler in handlers:
                if handler.name in registered:
                    raise HandlerRegisteredError(handler.name)
                registered[handler.name] = handler
            self._handlers = registered


def _list_events(handler: str, returned: Any) -> Iterable[Any]:
    """Return what a handler returned, if it can be a list of events; a single event is often iterable too."""
    if returned.__class__ is list:  # as nearly always
        return returned
    if isinstance(returned, (str, bytes, Mapping)) or not isinstance(returned, Iterable):
        raise HandlerReturnError(handler, type(returned).__name__)
    return returned
