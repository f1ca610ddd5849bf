"""`emit(name, data)` -> an event with the time and the contexts entered here -> processors -> backends."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypedDict

from eventpub import ambient
from eventpub.pipeline import UNKNOWN_NAME

from .contexts import ContextBlock, DefaultContextLocator, Entered, check_context
from .errors import TrackerMissingError
from .routing import RoutingBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping
    from enum import Enum

    from eventpub.pipeline import Backend

    from .contexts import ContextLocator
    from .routing import EventProcessor

DEFAULT_TRACKER_NAME = "default"

_trackers: dict[str, Tracker] = {}


class TrackedEvent(TypedDict):
    """What `Tracker.emit` makes, and processors and backends get."""

    name: str
    timestamp: datetime
    data: dict[str, Any]
    context: dict[str, Any]


class Tracker:
    """Makes events of names and data, and sends them through processors to backends.

    >>> from eventpub.tracking import MemoryBackend, Tracker
    >>> memory = MemoryBackend()
    >>> tracker = Tracker({"memory": memory})
    >>> with tracker.context("request", {"user": 7}):
    ...     tracker.emit("shop.cart.opened", {"items": 2})
    >>> memory.events[0]["context"]
    {'user': 7}

    Args:
        backends: objects with `send(event)`, by name; an `EventQueue` takes events out of the process.
        context_locator: finds the entered contexts; by default those of the running thread, greenlet or task.
        processors: called in turn with each event, see `RoutingBackend`.

    Raises:
        NotAStageError: (a ValueError) a backend has no `send` that can be called, or a processor cannot be
            called.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend] | None = None,
        context_locator: ContextLocator | None = None,
        processors: Iterable[EventProcessor] | None = None,
    ) -> None:
        self.routing_backend = RoutingBackend(backends=backends, processors=processors)
        self.context_locator = DefaultContextLocator() if context_locator is None else context_locator

    @property
    def backends(self) -> dict[str, Backend]:
        """The registered backends by name."""
        return self.routing_backend.backends

    @property
    def processors(self) -> list[EventProcessor]:
        """The registered processors."""
        return self.routing_backend.processors

    def get_backend(self, name: str) -> Backend:
        """Return the backend registered as `name`.

        Raises:
            KeyError: there is none.
        """
        return self.backends[name]

    def emit(self, name: str | Enum | None = None, data: Mapping[str, Any] | None = None) -> None:
        """Emit an event with the time in UTC and the data of all entered contexts.

        Every backend has the event when this returns. What a processor or a backend raises is logged, not
        raised, and `data` is never changed.

        Args:
            name: what happened, dotted by custom (`shop.cart.opened`), as text or an enum member; "unknown" by
                default.
            data: details, which the backends must be able to serialize; {} by default.
        """
        event = {
            "name": name or UNKNOWN_NAME,
            "timestamp": datetime.now(timezone.utc),
            "data": data or {},
            "context": self.resolve_context(),
        }
        self.routing_backend.send(event)

    # --- contexts ----------------------------------------------------------------------------------------

    @property
    def located_context(self) -> MutableMapping[str, Any]:
        """The contexts entered here (in this thread, greenlet or task), by name."""
        return self.context_locator.get()

    def resolve_context(self) -> dict[str, Any]:
        """Return the context of events emitted here: all entered contexts, of which the latest wins.

        What is bound for all trackers, such as the request being served (`eventpub.ambient`), comes first.
        """
        merged = ambient.resolve()
        contexts = self.context_locator.get()
        entered: Iterable[Any] = contexts.values()
        if contexts.__class__ is not Entered:
            entered = list(entered)  # other threads may change the dict meanwhile
        for ctx in entered:
            merged.update(ctx)
        return merged

    def enter_context(self, name: str, ctx: Mapping[str, Any]) -> None:
        """Add `ctx` to all events emitted here from now on, replacing a context of that name.

        It wins over contexts entered earlier, and loses to those entered later.

        Raises:
            TypeError: `ctx` is not a mapping.
        """
        check_context(name, ctx)
        self.located_context[name] = ctx

    def exit_context(self, name: str) -> None:
        """Remove a context from all events emitted here from now on.

        Raises:
            KeyError: no context of that name is entered here.
        """
        del self.located_context[name]

    def context(self, name: str, ctx: Mapping[str, Any]) -> ContextBlock:
        """Enter a context for the block, or for each call of the decorated function.

        Afterwards, `name` is what it was before: not entered, or the outer context. A block that ends elsewhere
        than it began, such as in a generator that another thread closes, changes no contexts there.

        Raises:
            TypeError: `ctx` is not a mapping, or the decorated function runs later, like a coroutine function.
        """
        return ContextBlock(self.context_locator, name, ctx)


# --- trackers that the whole process knows ---------------------------------------------------------------


def register_tracker(tracker: Tracker, name: str = DEFAULT_TRACKER_NAME) -> None:
    """Register a tracker as `name` for the whole process; without a name, as the one that `emit` uses."""
    _trackers[name] = tracker


def get_tracker(name: str = DEFAULT_TRACKER_NAME) -> Tracker:
    """Return the tracker registered as `name`.

    Raises:
        TrackerMissingError: (a KeyError) there is none.
    """
    try:
        return _trackers[name]
    except KeyError:
        raise TrackerMissingError(name) from None


def emit(name: str | Enum | None = None, data: Mapping[str, Any] | None = None) -> None:
    """Emit an event through the default tracker, see `Tracker.emit`.

    Raises:
        TrackerMissingError: (a KeyError) there is none.
    """
    get_tracker().emit(name, data)
