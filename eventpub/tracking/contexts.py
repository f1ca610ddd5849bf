"""Which contexts are entered here: bound by contextvars, so that nobody sees those of another.

Threads, greenlets and asyncio tasks have contexts of their own. A task starts with those of whoever started it;
threads and greenlets start with none, and `carried` hands them over. What any of them changes then stays its
own.

What is bound is never changed but replaced, so that a copy of a `contextvars.Context` is a copy of this too.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Iterator, Mapping, MutableMapping, ValuesView
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from itertools import takewhile
from types import MappingProxyType
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_NONE_ENTERED: Mapping[str, Any] = MappingProxyType({})


class ContextLocator(Protocol):
    """Finds the contexts that are entered where it is asked."""

    def get(self) -> MutableMapping[str, Any]:
        """Return the contexts entered here, by name, the one entered last at the end; changes of it count."""


class DefaultContextLocator:
    """Finds the contexts of the running thread, greenlet or asyncio task.

    Make one per tracker and not per request: Python never lets go of a context variable.
    """

    def __init__(self) -> None:
        self._entered = _Entered()

    def get(self) -> MutableMapping[str, Any]:
        """Return a live view of the contexts entered here, wherever it is looked at."""
        return self._entered


class _Entered(MutableMapping[str, Any]):
    """The contexts entered where this is asked; one that is entered again goes to the end."""

    def __init__(self) -> None:
        self._bound = contextvars.ContextVar("eventpub contexts", default=_NONE_ENTERED)

    def __getitem__(self, name: str) -> Any:
        return self._bound.get()[name]

    def __setitem__(self, name: str, ctx: Any) -> None:
        self._bound.set({**self._without(name), name: ctx})

    def __delitem__(self, name: str) -> None:
        if name not in self._bound.get():
            raise KeyError(name)
        self._bound.set(self._without(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._bound.get())

    def __len__(self) -> int:
        return len(self._bound.get())

    def values(self) -> ValuesView[Any]:
        return self._bound.get().values()  # what `emit` asks for; the inherited one looks each name up

    def __repr__(self) -> str:
        return repr(dict(self))

    def _without(self, name: str) -> dict[str, Any]:
        return {other: ctx for other, ctx in self._bound.get().items() if other != name}


def put_back(contexts: MutableMapping[str, Any], name: str, before: Mapping[str, Any]) -> None:
    """Give `name` the value and the rank it had in `before`, and leave every other context as it is now."""
    if name not in before:
        contexts.pop(name, None)
        return
    others = {other: ctx for other, ctx in contexts.items() if other != name}
    earlier = frozenset(takewhile(name.__ne__, before))
    lower = list(takewhile(earlier.__contains__, others))
    contexts.clear()
    contexts.update({**{other: others.pop(other) for other in lower}, name: before[name], **others})


def carried(func: Callable[P, R]) -> Callable[P, R]:
    """Return `func` bound to the contexts entered now, to be called in a thread or a greenlet.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from eventpub.tracking import Tracker, carried
    >>> tracker = Tracker()
    >>> with ThreadPoolExecutor() as pool, tracker.context("request", {"path": "/cart"}):
    ...     pool.submit(carried(tracker.resolve_context)).result()
    {'path': '/cart'}

    It takes along every context variable, as asyncio does for a task. Each call has a copy of its own: what it
    enters and exits neither comes back nor reaches other calls, and any number may run at once.

    Args:
        func: called with what the returned function is called with.

    Raises:
        TypeError: it is a coroutine function or a generator function, which would run when `run` is over.
    """
    if any(is_late(func) for is_late in (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)):
        raise TypeError(
            f"carried({func!r}) carries nothing, since what it returns runs later; asyncio's tasks have the "
            "contexts they are started in, and carried(asyncio.run)(...) takes them to another thread's"
        )
    context = contextvars.copy_context()

    @functools.wraps(func)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(func, *args, **kwargs)

    return run
