"""Events -> handlers -> further events, until none is left.

An event goes to every handler that wants it, in the order of their requirements. Events that handlers return
are processed afterwards, in the order they were returned.
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
    """Calls registered handlers for the events that are passed to it.

    Events are mappings, Thrift structs, instances of `Event`, or any object with a `name`. Threads may share a
    processor; a handler registered meanwhile is called from the next event on.
    """

    def __init__(self) -> None:
        self._handlers: dict[
            str, Handler
        ] = {}  # replaced, never changed: shows a schedule whether it is outdated
        self._schedule = Schedule(self._handlers)
        self._registering = Lock()

    def register(self, func: HandlerFunction[E], name: str | None = None) -> None:
        """Register a handler, which is called from the next event on.

        Args:
            func: called with this processor and an event; returns a list of further events, or None.
            name: its name among the handlers; by default the function's own.

        Raises:
            HandlerRegisteredError: the name is taken.
            TypeError: `func` is not callable, or has no name and none is given.
        """
        if not callable(func):
            raise TypeError(f"a handler is a function, not {func!r}")
        own_name = name or getattr(func, "__name__", None)
        if own_name is None:
            raise TypeError(f"{func!r} has no __name__; give it one: register(function, name=NAME)")
        self._add([Handler(own_name, func, read_declaration(func))])

    def load_from(self, entry_point_group: str) -> None:
        """Register the functions of an entry point group, each under the name of its entry point.

        All of them or none are registered, in the order of their names, so that it is the same everywhere.

        Args:
            entry_point_group: as in `[project.entry-points."GROUP"]`; may be empty.

        Raises:
            HandlerLoadError: an entry point cannot be imported, or is not a function.
            HandlerRegisteredError: a name is taken.
        """
        from importlib.metadata import entry_points  # noqa: PLC0415, 15 ms that most applications do not pay

        found = []
        for point in sorted(entry_points(group=entry_point_group), key=lambda point: point.name):
            try:
                func = point.load()
            except (Exception, SystemExit) as exc:  # importing third-party code can raise anything
                reason = f"{point.value} fails with {type(exc).__name__}: {exc}"
                raise HandlerLoadError(entry_point_group, point.name, reason) from exc
            if not callable(func):
                raise HandlerLoadError(
                    entry_point_group, point.name, f"{point.value} is {func!r}, not a function"
                )
            found.append(Handler(point.name, func, read_declaration(func)))
        self._add(found)

    def check(self) -> None:
        """Raise now what `process` would raise for handlers that do not fit together, for any event.

        Raises:
            HandlerMissingError: a handler requires, or is required by, one that is not registered.
            RequirementLoopError: handlers require each other in a circle.
            IncompatibleWantsError: a handler gets events that one it requires does not get.
        """
        if self._schedule.handlers is not self._handlers:
            self._schedule = Schedule(self._handlers)

    def process(self, event: E) -> Any:
        """Call the handlers that want an event, then those that want the events they returned, and so on.

        Returns:
            None, or the value that a handler passed to `StopProcessing`.

        Raises:
            ProcessingError: what `check` raises; IncompatibleWantsError, before any handler is called, if a
                filter excludes a handler that another requires; HandlerReturnError.
            Exception: what a handler or a filter raised; waiting events are not processed.
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
        """Process an event; `process` under the name that all stages have."""
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
    """Check that a handler returned a list of events: a single event is often iterable too."""
    if returned.__class__ is list:  # the usual case
        return returned
    if isinstance(returned, (str, bytes, Mapping)) or not isinstance(returned, Iterable):
        raise HandlerReturnError(handler, type(returned).__name__)
    return returned
