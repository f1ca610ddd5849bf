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
    from collections.abc import Callable, Mapping

    from .declare import Declared

    Filters = tuple[Callable[[Any], object], ...]
    Requirements = dict[str, dict[str, None]]  # by handler; a dict, since it keeps its order


class Handler(NamedTuple):
    """A function, what it declared, and the name it was registered under."""

    name: str
    call: Callable[[Any, Any], Any]
    declared: Declared


class _Candidates(NamedTuple):
    """The handlers that may be called for events of one name, as bits of one number."""

    certain: int
    asked: list[tuple[int, list[Filters]]]  # those with filters: one of the alternatives must accept


class Schedule:
    """The order of a set of handlers.

    Args:
        handlers: by name, in the order of registration.

    Raises:
        HandlerMissingError: a handler requires, or is required by, one that is not registered.
        RequirementLoopError: handlers require each other in a circle.
        IncompatibleWantsError: a handler gets events that one it requires does not get.
    """

    __slots__ = ("_candidates", "_chains", "_order", "_required", "handlers")

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        requirements = _requirements(handlers)
        self._order = [handlers[name] for name in _sorted(requirements)]
        bits = {handler.name: 1 << place for place, handler in enumerate(self._order)}
        self._required = {name: [bits[other] for other in others] for name, others in requirements.items()}
        wants = [want for handler in self._order for want in handler.declared.wants]
        names = sorted({name for want in wants for name in want.names})
        self._candidates = {name: self._candidates_for(name) for name in (None, *names)}
        for name, (certain, asked) in self._candidates.items():
            self._check(name, certain, certain | sum(bit for bit, _ in asked))
        self._chains: dict[int, tuple[Handler, ...]] = {}

    def chain(self, event: Any) -> tuple[Handler, ...]:
        """Return the handlers that get an event, in their order.

        Raises:
            IncompatibleWantsError: one of them requires a handler that does not get the event.
        """
        name = name_of(event)
        wanted, asked = self._candidates.get(name) or self._candidates[None]
        for bit, alternatives in asked:
            for filters in alternatives:
                for agrees in filters:
                    if not agrees(event):
                        break
                else:
                    wanted |= bit
                    break
        try:
            return self._chains[wanted]
        except KeyError:
            self._check(name, wanted, wanted)
            chain = tuple(handler for place, handler in enumerate(self._order) if wanted >> place & 1)
            return self._chains.setdefault(wanted, chain)

    def _candidates_for(self, name: str | None) -> _Candidates:
        """Return the handlers for events of a name; None stands for all names that no handler mentions."""
        candidates = _Candidates(0, [])
        for place, handler in enumerate(self._order):
            wants = handler.declared.wants
            alternatives = [want.filters for want in wants if not want.names or name in want.names]
            if not wants or () in alternatives:
                candidates = candidates._replace(certain=candidates.certain | 1 << place)
            elif alternatives:
                candidates.asked.append((1 << place, alternatives))
        return candidates

    def _check(self, name: str | None, called: int, available: int) -> None:
        """Raise if one of the `called` requires a handler that is not `available`."""
        for place, handler in enumerate(self._order):
            if not called >> place & 1:
                continue
            for bit in self._required[handler.name]:
                if not available & bit:
                    required = self._order[bit.bit_length() - 1]
                    raise IncompatibleWantsError(handler.name, required.name, name)


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
