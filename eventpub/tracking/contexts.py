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
        self._entered = Entered()

    def get(self) -> MutableMapping[str, Any]:
        """Return a live view of the contexts entered here, wherever it is looked at."""
        return self._entered


class Entered(MutableMapping[str, Any]):
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

    def values(self) -> ValuesView[Any]:  # noqa: D102, a mapping's
        return self._bound.get().values()  # what `emit` asks for; the inherited one looks each name up

    def begin(self, name: str, ctx: Any) -> tuple[contextvars.Token[Mapping[str, Any]], Mapping[str, Any]]:
        """Enter a context, and return what `end` takes."""
        entered = {**self._without(name), name: ctx}
        return self._bound.set(entered), entered

    def end(self, name: str, begun: tuple[contextvars.Token[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Let `name` be what it was at the beginning, and leave every other context as it is now.

        Elsewhere than it began, as where a generator is closed by another thread, nothing changes: the contexts
        there are others.
        """
        token, entered = begun
        now = self._bound.get()
        try:
            self._bound.reset(token)
        except ValueError:
            return
        if now is not entered:
            self._bound.set(_put_back(now, name, self._bound.get()))

    def __repr__(self) -> str:
        return repr(dict(self))

    def _without(self, name: str) -> dict[str, Any]:
        return {other: ctx for other, ctx in self._bound.get().items() if other != name}


class _Located:
    """The contexts that a locator of somebody's own finds, in a mapping that threads may share."""

    def __init__(self, locator: ContextLocator) -> None:
        self._locator = locator

    def begin(self, name: str, ctx: Any) -> tuple[MutableMapping[str, Any], Any, contextvars.Token[None]]:
        """Enter a context, and return what `end` takes."""
        contexts = self._locator.get()
        before = contexts.get(name, _ABSENT)
        contexts[name] = ctx
        return contexts, before, _here.set(None)

    def end(self, name: str, begun: tuple[MutableMapping[str, Any], Any, contextvars.Token[None]]) -> None:
        """Let `name` be what it was, unless this is elsewhere and the contexts here are others."""
        contexts, before, token = begun
        now = self._locator.get()
        if not (_is_here(token) or now is contexts):
            return
        if before is _ABSENT:
            now.pop(name, None)
        else:
            now[name] = before


class ContextBlock:
    """A `with` block, or the calls of a function it decorates, that have a context entered.

    Args:
        locator: finds the contexts.
        name: of the context that is entered.
        ctx: what events say meanwhile.

    Raises:
        TypeError: `ctx` is no mapping.
    """

    __slots__ = ("_begun", "_ctx", "_locator", "_name")

    def __init__(self, locator: ContextLocator, name: str, ctx: Mapping[str, Any]) -> None:
        check_context(name, ctx)
        self._locator = locator
        self._name = name
        self._ctx = ctx
        self._begun: list[tuple[Entered | _Located, Any]] = []

    def __enter__(self) -> None:
        contexts = self._locator.get()
        entered = contexts if isinstance(contexts, Entered) else _Located(self._locator)
        self._begun.append((entered, entered.begin(self._name, self._ctx)))

    def __exit__(self, *_exc: object) -> None:
        entered, begun = self._begun.pop()
        entered.end(self._name, begun)

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """Return `func` with the context entered whenever it is called.

        Raises:
            TypeError: it is a coroutine function or a generator function, which would run when the block is
                over.
        """
        if _is_late(func):
            raise TypeError(
                f"@context({self._name!r}, ...) covers nothing of {func!r}, since what it returns runs later; "
                "write `with tracker.context(...):` inside it"
            )

        @functools.wraps(func)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with ContextBlock(self._locator, self._name, self._ctx):
                return func(*args, **kwargs)

        return run


def check_context(name: str, ctx: Any) -> None:
    """Refuse what no event could say, here and not when the next one is emitted.

    Raises:
        TypeError: `ctx` is no mapping.
    """
    if not hasattr(ctx, "keys"):  # which is what `dict.update` asks for
        raise TypeError(f"context {name!r} is {ctx!r:.100}: give a mapping, {{}} for nothing")


_ABSENT = object()
_here: contextvars.ContextVar[None] = contextvars.ContextVar("eventpub block")


def _is_here(token: contextvars.Token[None]) -> bool:
    """Tell whether this is the thread, greenlet or task that `_here` was set in; once."""
    try:
        _here.reset(token)
    except ValueError:
        return False
    return True


def _put_back(contexts: Mapping[str, Any], name: str, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `contexts` with the value and the rank that `name` had in `before`."""
    others = {other: ctx for other, ctx in contexts.items() if other != name}
    if name not in before:
        return others
    earlier = frozenset(takewhile(name.__ne__, before))
    lower = list(takewhile(earlier.__contains__, others))
    return {**{other: others.pop(other) for other in lower}, name: before[name], **others}


def _is_late(func: Callable[..., Any]) -> bool:
    return any(is_late(func) for is_late in (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction))


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
    if _is_late(func):
        raise TypeError(
            f"carried({func!r}) carries nothing, since what it returns runs later; asyncio's tasks have the "
            "contexts they are started in, and carried(asyncio.run)(...) takes them to another thread's"
        )
    context = contextvars.copy_context()

    @functools.wraps(func)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(func, *args, **kwargs)

    return run
