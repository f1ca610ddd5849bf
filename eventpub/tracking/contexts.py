"""Which contexts are entered here: bound by contextvars, so that nobody sees those of another.

Threads, greenlets and asyncio tasks have contexts of their own. A task starts with those of its creator;
threads and greenlets start with none, and `carried` hands them over. What any of them changes then stays its
own. A request starts with none either, and leaves none behind (see `eventpub.ambient`).
"""

from __future__ import annotations

import contextvars
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from inspect import (
    isasyncgen,
    isasyncgenfunction,
    isawaitable,
    iscoroutinefunction,
    isgenerator,
    isgeneratorfunction,
)
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar

from . import entered

if TYPE_CHECKING:
    from eventpub.ambient import Binding

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class ContextLocator(Protocol):
    """Finds the contexts that are entered where it is asked."""

    def get(self) -> MutableMapping[str, Any]:
        """Return the contexts entered here, by name, the one entered last at the end; changes of it count."""


class DefaultContextLocator:
    """Finds the contexts of the running thread, greenlet or asyncio task."""

    def __init__(self) -> None:
        self._entered = Entered(self)

    def get(self) -> MutableMapping[str, Any]:
        """Return a live view of the contexts entered here, wherever it is looked at."""
        return self._entered


class Entered(MutableMapping[str, Any]):
    """The contexts entered where this is asked; one that is entered again goes to the end.

    Args:
        owner: of the contexts.
    """

    def __init__(self, owner: object) -> None:
        self.owner = owner

    def __getitem__(self, name: str) -> Any:
        return entered.list_contexts(self.owner)[name]

    def __setitem__(self, name: str, ctx: Any) -> None:
        entered.enter(self.owner, name, ctx)

    def __delitem__(self, name: str) -> None:
        entered.leave(self.owner, name)

    def __iter__(self) -> Iterator[str]:
        return iter(entered.list_contexts(self.owner))

    def __len__(self) -> int:
        return len(entered.list_contexts(self.owner))

    def __repr__(self) -> str:
        return repr(entered.list_contexts(self.owner))


class ContextBlock:
    """A `with` block, or the calls of a function it decorates, that have a context entered.

    One block may be used by any number of threads and tasks, also at once.

    Args:
        locator: finds the contexts.
        name: of the context that is entered.
        ctx: what events say meanwhile.

    Raises:
        TypeError: `ctx` is not a mapping.
    """

    __slots__ = ("_binding", "_ctx", "_entries", "_locator", "_name")

    def __init__(
        self, locator: ContextLocator, name: str, ctx: Mapping[str, Any], *, nested: bool = False
    ) -> None:
        if type(ctx) is not dict:
            check_context(name, ctx)
        self._locator = locator
        self._name = name
        self._ctx = {name: ctx} if nested else ctx
        self._entries = 0
        self._binding: Binding | None = None  # of the first entry, until it ends

    def __enter__(self) -> None:
        locator = self._locator
        if type(locator) is DefaultContextLocator:
            binding = entered.begin(self, locator, self._name, self._ctx)
        elif isinstance(contexts := locator.get(), Entered):
            binding = entered.begin(self, contexts.owner, self._name, self._ctx)
        else:
            replaced = _Replaced(contexts, contexts.get(self._name, _ABSENT))
            contexts[self._name] = self._ctx
            binding = entered.begin(self, self, self._name, replaced)
        self._entries += 1
        if self._entries == 1:
            self._binding = binding

    def __exit__(self, *_exc: object) -> None:
        first, self._binding = self._binding, None  # a second exit does nothing
        binding = entered.end(self)
        if binding is None:
            if first is not None and self._entries == 1:  # else nobody knows which of them ends
                self._end_elsewhere(first)
        elif binding.owner is self:
            binding.context.put_back(self._name)

    def _end_elsewhere(self, binding: Binding) -> None:
        binding.is_over = True
        if binding.owner is self:
            replaced = binding.context
            if self._locator.get() is replaced.contexts:  # the same for all
                replaced.put_back(self._name)
        elif binding.missed_events():
            warn_once(
                self._name,
                "it began in one thread or task and ended in another, as those of FastAPI's synchronous "
                "dependencies and of generators in thread pools do, so events in between do not have it",
            )

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """Return `func` with the context entered whenever it is called.

        Raises:
            TypeError: it is a coroutine function or a generator function, which would run when the block is
                over.
        """
        if is_late(func):
            raise TypeError(
                f"@context({self._name!r}, ...) covers nothing of {func!r}, since what it returns runs later; "
                "write `with tracker.context(...):` inside it"
            )

        @functools.wraps(func)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with ContextBlock(self._locator, self._name, self._ctx):
                result = func(*args, **kwargs)
            if isawaitable(result) or isgenerator(result) or isasyncgen(result):
                kind = type(result).__name__
                warn_once(
                    self._name, f"{func!r} returns a {kind}, which runs when the decorator's block is over"
                )
            return result

        return run


class _Replaced(NamedTuple):
    """What a block has replaced in the mapping of a custom locator."""

    contexts: MutableMapping[str, Any]
    before: Any

    def put_back(self, name: str) -> None:
        if self.before is _ABSENT:
            self.contexts.pop(name, None)
        else:
            self.contexts[name] = self.before


_ABSENT = object()
_warned: set[str] = set()


def warn_once(name: str, reason: str) -> None:
    """Say once for each name that a block covers less than it seems to."""
    if name not in _warned:
        _warned.add(name)
        logger.warning(
            "context %r covers nothing, or not all, of what it should: %s; eventpub.integrations.say(...) "
            "binds to the request itself, wherever it is called",
            name,
            reason,
        )


def check_context(name: str, ctx: Any) -> None:
    """Refuse what no event could say, here and not when the next one is emitted.

    Raises:
        TypeError: `ctx` is not a mapping.
    """
    try:
        is_mapping = hasattr(ctx, "keys")  # which is what `dict.update` asks for
    except Exception:  # noqa: BLE001, what is looked up at its first use may fail then; `emit` deals with that
        return
    if not is_mapping:
        raise TypeError(f"context {name!r} is a {type(ctx).__name__}: give a mapping, {{}} for nothing")


def is_late(func: Callable[..., Any]) -> bool:
    """Tell whether a function only makes what runs later: a coroutine or a generator."""
    return any(runs_late(func) for runs_late in (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction))


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
    if is_late(func):
        raise TypeError(
            f"carried({func!r}) carries nothing, since what it returns runs later; asyncio's tasks have the "
            "contexts they are started in, and carried(asyncio.run)(...) takes them to another thread's"
        )
    context = contextvars.copy_context()

    @functools.wraps(func)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(func, *args, **kwargs)

    return run
