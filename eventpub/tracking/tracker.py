"""`emit(name, data)` -> an event with the time and the contexts entered here -> processors -> backends.

`emit` fails nobody. What a context, a processor or a backend raises is counted in `Tracker.failures` and logged
by type and place; the rest of the event goes on.
"""

from __future__ import annotations

from _thread import get_ident
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from eventpub import ambient
from eventpub.errors import UnwritableValueError

from .contexts import ContextBlock, DefaultContextLocator, Entered, check_context
from .errors import TrackerMissingError
from .nesting import emitting, is_nested_too_deeply
from .routing import RoutingBackend
from .snapshot import snapshot
from .tracked import tracked
from .typed import name_unnamed, read_typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping
    from enum import Enum

    from eventpub.pipeline import Backend

    from .contexts import ContextLocator
    from .failures import Failures
    from .routing import EventProcessor
    from .tracked import P, R
    from .typed import TypedEvent

    CommitHook = Callable[[Callable[[], None]], object]

DEFAULT_TRACKER_NAME = "default"
NOTHING_SAID: Mapping[str, Any] = MappingProxyType({})

_trackers: dict[str, Tracker] = {}
_UTC = timezone.utc


class Tracker:
    """Makes events of names and data, and sends them through processors to backends.

    Examples:
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
        commit_hook: called with a function without arguments, which it calls once the running transaction has
            been committed, never if it is rolled back, and at once if there is none: Django's
            `transaction.on_commit`, which its integration gives, does so.
        on_commit: whether events wait for the transaction where `emit` is not told; not by default.

    Raises:
        NotAStageError: (a ValueError) as `RoutingBackend` does.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend] | None = None,
        context_locator: ContextLocator | None = None,
        processors: Iterable[EventProcessor] | None = None,
        *,
        commit_hook: CommitHook | None = None,
        on_commit: bool = False,
    ) -> None:
        self.routing_backend = RoutingBackend(backends, processors)
        self.context_locator = DefaultContextLocator() if context_locator is None else context_locator
        self.commit_hook = commit_hook
        self.on_commit = on_commit

    @property
    def backends(self) -> dict[str, Backend]:
        """The registered backends by name."""
        return self.routing_backend.backends

    @property
    def processors(self) -> list[EventProcessor]:
        """The registered processors."""
        return self.routing_backend.processors

    @property
    def failures(self) -> Failures:
        """How often what has failed, by kind; its `metric` is told of each."""
        return self.routing_backend.failures

    def get_backend(self, name: str) -> Backend:
        """Return the backend registered as `name`; a KeyError if there is none."""
        return self.backends[name]

    def __reduce__(self) -> tuple[Callable[[str], Tracker], tuple[str]]:
        for name, tracker in _trackers.items():
            if tracker is self:
                return get_tracker, (name,)
        raise TypeError("a tracker is pickled by its name: register_tracker(tracker, NAME), in each process")

    def __copy__(self) -> Tracker:  # not by `__reduce__`, which would return the tracker itself
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def emit(
        self,
        name: str | Enum | TypedEvent | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        on_commit: bool | None = None,
    ) -> None:
        """Emit an event with the time in UTC and everything the entered contexts hold.

        It is in the hands of every backend when this returns. No exception comes back, whatever contexts,
        `data`, processors and backends do; `failures` counts them. `data` is never changed.

        Args:
            name: what happened, dotted by custom (`shop.cart.opened`), as text or a member of an enum;
                "unknown" by default. An instance of a class decorated by `event` has name and data.
            data: what there is to say about it, as far as the backends can serialize it; {} by default.
            on_commit: whether to send it, as it is now, once the running transaction has been committed;
                whatever the tracker does by default.
        """
        thread = get_ident()
        if thread in emitting and is_nested_too_deeply(Tracker.emit.__code__):
            self.failures.note("nested")
            return
        emitting.add(thread)
        event: Any = None
        try:
            if name.__class__ is not str and hasattr(name, "__dataclass_fields__"):
                name, data = read_typed(name, self.failures)
            event = {
                "name": name or name_unnamed(name, self.failures),
                "timestamp": datetime.now(_UTC),
                "data": {} if data is None else data,
                "context": self.resolve_context(),
            }
            if self.on_commit if on_commit is None else on_commit:
                self._send_on_commit(event)
            else:
                self.routing_backend.send(event)
        except UnwritableValueError:  # in tests only, which are to fail by it
            raise
        except Exception as error:  # noqa: BLE001, nothing that is tracked may fail what tracks it
            self.failures.swallow("emit", "%s failed, event %r: %s", "emit", event, error)
        finally:
            emitting.discard(thread)

    def _send_on_commit(self, event: dict[str, Any]) -> None:
        if self.commit_hook is None:
            self.failures.note("on_commit without a commit_hook")
            self.routing_backend.send(event)
            return
        event = snapshot(event)
        try:
            self.commit_hook(lambda: self.routing_backend.send(event))
        except Exception as error:  # noqa: BLE001, third-party code; better an event too many than none
            self.failures.swallow("on_commit", "%s failed, and event %r goes on: %s", "on_commit", event, error)
            self.routing_backend.send(event)

    def tracked(
        self, name: str | Enum, data: Mapping[str, Any] | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Have each call of a function, or a coroutine function, emit an event when it ends.

        Its data are `data`, `duration_ms`, `outcome` ("success", "error", "cancelled"), and an error's type.

        Args:
            name: of the event.
            data: what each says besides; nothing by default.

        Raises:
            TypeError: the decorated function is a generator function, which runs only after its call.
        """
        return tracked(self.emit, name, data or {})

    @property
    def located_context(self) -> MutableMapping[str, Any]:
        """The contexts entered here (in this thread, greenlet or task), by name."""
        return self.context_locator.get()

    def resolve_context(self) -> dict[str, Any]:
        """Return the context of events emitted here: all entered contexts; the latest wins.

        The request that is served, and what was said of it, comes before. What fails when it is asked is left
        out, which `failures` counts as "context NAME".
        """
        locator = self.context_locator
        if type(locator) is DefaultContextLocator:
            return ambient.resolve(locator, self)
        try:
            contexts = locator.get()
            if isinstance(contexts, Entered):
                return ambient.resolve(contexts.owner, self)
            entered = list(contexts.items())  # other threads may change a dict meanwhile
        except Exception as error:  # noqa: BLE001, third-party code
            self.refuse_context("locator", error)
            entered = []
        merged = ambient.resolve(self, self)
        for name, ctx in entered:
            try:
                merged.update(ctx)
            except Exception as error:  # noqa: BLE001, and so is a context
                self.refuse_context(name, error)
        return merged

    def refuse_context(self, name: str, error: Exception) -> None:
        """Count a context that failed when it was asked."""
        template = "context %r failed, and events go on without it, as %r does: %s"
        self.failures.swallow(f"context {name}", template, name, None, error)

    def enter_context(self, name: str, ctx: Mapping[str, Any]) -> None:
        """Add `ctx` to all events emitted here from now on, replacing a context of that name.

        It wins over contexts entered before, and loses to those entered after. In a request it is gone when the
        request is over.

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

    def context(
        self, name: str, ctx: Mapping[str, Any] = NOTHING_SAID, *, nested: bool = False, **values: Any
    ) -> ContextBlock:
        """Run the block, or each call of the function that is decorated, with a context entered.

        However the block ends, `name` is then what it was before: exited, or the context that was entered
        outside. Blocks belong to the running thread, greenlet or task, so one object may serve them all. A
        block that ends elsewhere than it began, as a generator's that another thread closes, leaves the
        contexts there alone, and is over everywhere.

        Args:
            name: of the context.
            ctx: what events say meanwhile; {} by default.
            nested: whether they say it below the name, where it collides with nothing: `context("user", id=7,
                nested=True)` is `context("user", {"user": {"id": 7}})`.
            values: what they say besides; what is called `name`, `ctx` or `nested` has to be in `ctx`.

        Raises:
            TypeError: `ctx` is not a mapping, or the decorated function runs later, like a coroutine function.
        """
        if values:
            check_context(name, ctx)
            ctx = {**ctx, **values}
        return ContextBlock(self.context_locator, name, ctx, nested=nested)


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


def emit(
    name: str | Enum | TypedEvent | None = None,
    data: Mapping[str, Any] | None = None,
    *,
    on_commit: bool | None = None,
) -> None:
    """Emit an event through the default tracker, see `Tracker.emit`.

    Raises:
        TrackerMissingError: (a KeyError) there is none.
    """
    get_tracker().emit(name, data, on_commit=on_commit)
