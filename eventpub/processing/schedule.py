"""Which handlers an event gets, in which order.

Handlers run after those they require, otherwise in the order of their registration. A schedule belongs to one
set of handlers and does not change, so threads can share it.

Wants are checked in two steps. By name, when the schedule is created: it is refused if a handler can get an
event whose name a handler that it requires never gets. By filters, for each event and before any handler is
called: unless every handler to be called has all that it requires called before it, none is called.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from eventpub.pipeline import name_of

from .errors import HandlerMissingError, IncompatibleWantsError, RequirementLoopError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from .declare import Declared

    Filters = tuple[Callable[[Any], object], ...]
    Requirements = dict[str, dict[str, None]]  # by handler; a dict, since it keeps its order


class Handler(NamedTuple):
    """A function, what it declared, and the name it was registered under."""

    name: str
    call: Callable[[Any, Any], Any]
    declared: Declared


class _Candidates(NamedTuple):
    """The handlers for events of one name, in their order, and what came of them so far."""

    in_order: tuple[Handler, ...]
    asked: tuple[tuple[str, Callable[[Any], object]], ...]  # those with filters, and what accepts an event
    chains: dict[tuple[str, ...], tuple[Handler, ...]]  # by the names of those that accepted


class Schedule:
    """The order of a set of handlers.

    Args:
        handlers: by name, in the order of registration.

    Raises:
        HandlerMissingError: a handler requires, or is required by, one that is not registered.
        RequirementLoopError: handlers require each other in a circle.
        IncompatibleWantsError: a handler gets events that one it requires does not get.
    """

    __slots__ = ("_candidates", "_order", "_requirements", "handlers")

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        self._requirements = _requirements(handlers)
        self._order = [handlers[name] for name in _sorted(self._requirements)]
        wants = [want for handler in self._order for want in handler.declared.wants]
        names = sorted({name for want in wants for name in want.names})
        self._candidates = {name: self._candidates_for(name) for name in (None, *names)}
        for name, (in_order, asked, _) in self._candidates.items():
            self._check(name, _leave_out(in_order, dict(asked)), in_order)

    def chain(self, event: Any) -> tuple[Handler, ...]:
        """Return the handlers that get an event, in their order.

        Raises:
            IncompatibleWantsError: one of them requires a handler that does not get the event.
        """
        name = name_of(event)
        candidates = self._candidates.get(name) or self._candidates[None]
        if not candidates.asked:
            return candidates.in_order  # which was checked when the schedule was made
        accepting = tuple([handler for handler, accepts in candidates.asked if accepts(event)])
        try:
            return candidates.chains[accepting]
        except KeyError:
            chain = _leave_out(candidates.in_order, dict(candidates.asked).keys() - set(accepting))
            self._check(name, chain, chain)
            candidates.chains[accepting] = chain
            return chain

    def _candidates_for(self, name: str | None) -> _Candidates:
        """Return the handlers for events of a name; None stands for all names that no handler mentions."""
        in_order, asked = [], []
        for handler in self._order:
            wants = handler.declared.wants
            alternatives = [want.filters for want in wants if not want.names or name in want.names]
            if alternatives or not wants:
                in_order.append(handler)
            if alternatives and () not in alternatives:
                asked.append((handler.name, _join_filters(alternatives)))
        return _Candidates(tuple(in_order), tuple(asked), {})

    def _check(self, name: str | None, called: Iterable[Handler], available: Iterable[Handler]) -> None:
        """Raise if one of the `called` requires a handler that is not `available`."""
        there = {handler.name for handler in available}
        for handler in called:
            for required in self._requirements[handler.name]:
                if required not in there:
                    raise IncompatibleWantsError(handler.name, required, name)


def _leave_out(handlers: Iterable[Handler], names: Container[str]) -> tuple[Handler, ...]:
    return tuple(handler for handler in handlers if handler.name not in names)


def _join_filters(alternatives: list[Filters]) -> Callable[[Any], object]:
    """Return one filter that accepts an event if all filters of one of the alternatives do."""
    if len(alternatives) == 1 and len(alternatives[0]) == 1:  # as mostly, and it costs nothing
        return alternatives[0][0]
    return lambda event: any(all(accepts(event) for accepts in filters) for filters in alternatives)


def _requirements(handlers: Mapping[str, Handler]) -> Requirements:
    """Return the names that each handler requires, by its own declaration and by those of others."""
    requirements: Requirements = {name: {} for name in handlers}
    for handler in handlers.values():
        for relation in ("requires", "required_by"):
            for other in getattr(handler.declared, relation):
                if other not in handlers:
                    raise HandlerMissingError(handler.name, relation, other, tuple(handlers))
                before, after = (other, handler.name) if relation == "requires" else (handler.name, other)
                requirements[after][before] = None
    return requirements


def _sorted(requirements: Requirements) -> list[str]:
    """Sort the handlers so that each comes after all it requires, otherwise keep their order."""
    places = {name: place for place, name in enumerate(requirements)}
    names = list(requirements)
    waiting_for = {name: len(others) for name, others in requirements.items()}
    dependents: dict[str, list[str]] = {name: [] for name in names}
    for name, others in requirements.items():
        for other in others:
            dependents[other].append(name)
    ready = [places[name] for name in names if not waiting_for[name]]  # sorted, and so a heap
    done: list[str] = []
    while ready:
        done.append(names[heappop(ready)])
        for name in dependents[done[-1]]:
            waiting_for[name] -= 1
            if not waiting_for[name]:
                heappush(ready, places[name])
    if len(done) < len(names):
        raise RequirementLoopError(_loop(requirements, done))
    return done


def _loop(requirements: Requirements, done: list[str]) -> tuple[str, ...]:
    """Return a loop of handlers in which each requires the next."""
    stuck = [name for name in requirements if name not in done]
    path = [stuck[0]]
    while True:
        following = next(name for name in requirements[path[-1]] if name in stuck)
        if following in path:
            return (*path[path.index(following) :], following)
        path.append(following)
