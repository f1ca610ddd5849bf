"""What every event says that is emitted meanwhile, through whichever tracker: contexts of the running task.

A tracker's own contexts are the affair of who holds that tracker. These are for those who know what goes on and
hold no tracker: a middleware that binds the request being served. `Tracker.resolve_context` begins with
`resolve()`, so that the contexts a tracker entered itself come later and win.

They are kept in one context variable whose value is never changed, only replaced, so threads, greenlets and
asyncio tasks never see each other's, and what a task inherits does not change under it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NONE: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
_contexts: ContextVar[Mapping[str, Mapping[str, Any]]] = ContextVar("eventpub.ambient", default=_NONE)


@contextmanager
def bound(name: str, context: Mapping[str, Any]) -> Iterator[None]:
    """Bind a context for the block, in place of one of the same name, which is bound again afterwards.

    Args:
        name: of the context.
        context: what each event shall say; it must not change while it is bound.
    """
    token = _contexts.set({**_contexts.get(), name: context})
    try:
        yield
    finally:
        _contexts.reset(token)


def get(name: str) -> Mapping[str, Any] | None:
    """Return the context bound by that name, or None."""
    return _contexts.get().get(name)


def resolve() -> dict[str, Any]:
    """Return the union of what is bound, in a dict of its own."""
    merged: dict[str, Any] = {}
    for context in _contexts.get().values():
        merged.update(context)
    return merged
