"""What is bound where code runs: the request being served, and the contexts that trackers have entered.

All of it is one value in one context variable. The value is never changed, only replaced, so threads, greenlets
and asyncio tasks never see each other's, and what a task inherits does not change under it. A request begins
with nothing else bound, and all that is bound in it is gone when it ends: whatever the thread, or the callback
of a kept-alive connection, had inherited.

A block belongs to the running context, whichever object holds it, and ends where it began. Where it is ended
elsewhere (in another thread, or as a generator's in another task), what it bound is over everywhere.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType


class Refusing(Protocol):
    """Takes note of contexts that fail."""

    def refuse_context(self, name: str, error: Exception) -> None:
        """Note what a context has raised."""


class Served(Protocol):
    """A request, or a job, that is being served."""

    kept: Kept  # what is bound in it, between the stretches of its work
    is_over: bool  # ended elsewhere than it began
    is_finished: bool
    told: int  # how many events have said it
    said: dict[str, Any] | None  # what events say about it; None as long as `tell` has to be asked

    def tell(self) -> dict[str, Any]:
        """Return what events say about it."""

    def finish(self) -> None:
        """Note that its work is done, or has failed."""


Names: TypeAlias = "Mapping[str, Binding]"

# The request; contexts by owner and name; blocks that have begun, the latest last; what is bound around the
# request. It is a plain tuple, since one is made for each block and taken apart for each event.
Bound: TypeAlias = "tuple[Served | None, Mapping[object, Names], tuple[Binding, ...], Bound | None]"
Kept: TypeAlias = "tuple[Mapping[object, Names], tuple[Binding, ...]]"

NOTHING_KEPT: Kept = ({}, ())  # never changed; a MappingProxyType would make each block 0.3 us slower
NOTHING: Bound = (None, *NOTHING_KEPT, None)


class Binding:
    """A context that is entered, by a block or until further notice.

    Args:
        context: what events say.
        block: that has entered it, if one has; the following are for that.
        owner: of the context.
        name: of the context.
        before: what was bound when the block began.
        covered: what the name was bound to, and is again when the block ends.
    """

    __slots__ = (
        "after", "before", "block", "context", "covered", "is_over", "name", "owner", "token", "told",
        "told_before",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917, by keyword they cost 0.1 us in each block
        self,
        context: Any,
        block: object = None,
        owner: object = None,
        name: str = "",
        before: Bound = NOTHING,
        covered: Binding | None = None,
    ) -> None:
        self.context = context
        self.is_over = False  # ended elsewhere than it began
        self.told = 0  # how many events have said it
        self.token: Token[Bound] | None = None  # of where the block began, until it ends
        self.after = NOTHING  # what was bound when it had begun, likewise
        self.block = block
        self.owner = owner
        self.name = name
        self.before = before
        self.covered = covered
        served = before[0]
        self.told_before = 0 if served is None else served.told

    def lasting(self) -> Binding | None:
        """Return the binding that is in force: this one, or what it covered if it is over."""
        binding: Binding | None = self
        while binding and binding.is_over:
            binding = binding.covered
        return binding

    def missed_events(self) -> bool:
        """Tell whether events were emitted that should have said it: others of its request, or any at all."""
        served = self.before[0]
        return served.told - self.told_before > self.told if served else not self.told


bound_here: ContextVar[Bound] = ContextVar("eventpub", default=NOTHING)


def find_bound() -> Bound:
    """Return what is bound here."""
    bound: Bound | None = bound_here.get()
    while bound and bound[0] and bound[0].is_over:
        bound = bound[3]
    return bound or NOTHING


def find_served() -> Served | None:
    """Return the request that is served here, if one is."""
    return find_bound()[0]


# --- requests --------------------------------------------------------------------------------------------


class Running:
    """A stretch of a request's work, with what is bound in it and nothing else.

    What is bound at its end is bound in the next stretch, as in the parts of a streamed answer. A stretch that
    raises, be it to say that there are no more parts, is the last but for cleaning up.
    """

    __slots__ = ("_around", "_served", "_token")

    def __init__(self, served: Served) -> None:
        self._served = served

    def __enter__(self) -> None:
        self._around = around = find_bound()
        contexts, blocks = self._served.kept
        self._token = bound_here.set((self._served, contexts, blocks, around))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._served.finish()
        now = bound_here.get()
        if not reset_here(self._token):
            self._served.is_over = True
            return
        while now[0] is not self._served and now[3]:
            now = now[3]  # of a request that began within and was never ended
        self._served.kept = now[1:3]
        if (outer := self._around[0]) and outer.is_finished:
            # which a connection's callback has inherited from the request before: it is nobody's
            bound_here.set(NOTHING)


def call_within(bound: Bound, function: Callable[[], object]) -> None:
    """Call a function with what was bound elsewhere."""
    token = bound_here.set(bound)
    try:
        function()
    finally:
        bound_here.reset(token)


# --- contexts --------------------------------------------------------------------------------------------


def resolve(owner: object, refusing: Refusing) -> dict[str, Any]:
    """Return what events say here: the union of the request and an owner's contexts, the latest winning.

    Args:
        owner: of the contexts.
        refusing: is told of contexts that fail; the others are said all the same.
    """
    served, contexts, _, _ = bound_here.get()
    if served is not None and served.is_over:
        served, contexts, _, _ = find_bound()
    merged: dict[str, Any] = {}
    if served is not None:
        served.told += 1
        try:
            merged = (served.said or served.tell()).copy()
        except Exception as error:  # noqa: BLE001, what a server hands over may be anything
            refusing.refuse_context("request", error)
    if owner in contexts:
        for name, binding in contexts[owner].items():
            if binding.is_over and (binding := binding.lasting()) is None:  # type: ignore[assignment]
                continue
            binding.told += 1
            try:
                merged.update(binding.context)
            except Exception as error:  # noqa: BLE001, third-party code
                refusing.refuse_context(name, error)
    return merged


def merge_all() -> dict[str, Any]:
    """Return what any tracker would say here, for another process; contexts that fail are left out."""
    served, contexts, _, _ = find_bound()
    merged = dict(served.tell()) if served else {}
    for binding in (latest.lasting() for names in contexts.values() for latest in names.values()):
        if binding and hasattr(binding.context, "keys"):
            with suppress(Exception):
                merged.update(binding.context)
    return merged


def reset_here(token: Token[Bound]) -> bool:
    """Tell whether this is the thread, greenlet or task that a token is of, and reset the variable there."""
    try:
        bound_here.reset(token)
    except ValueError:
        return False
    return True
