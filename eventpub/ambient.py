"""What every event says that is emitted meanwhile, through whichever tracker: contexts of the running task.

A tracker's own contexts are the affair of who holds that tracker. These are for those who know what goes on and
hold no tracker: a middleware that binds the request being served. `Tracker.resolve_context` begins with
`resolve()`, so that the contexts a tracker entered itself come later and win.

They are kept in one context variable whose value is never changed, only replaced, so threads, greenlets and
asyncio tasks never see each other's, and what a task inherits does not change under it. But for one case: a
block that ends elsewhere than it began (in another thread, or a generator's in another task) cannot reach where
it began, so what it bound is marked as over for whoever has it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Binding:
    """A context that is bound, and what it covers."""

    __slots__ = ("context", "covered", "is_over")

    def __init__(self, context: Mapping[str, Any], covered: _Binding | None) -> None:
        self.context = context
        self.covered = covered
        self.is_over = False


_NONE: Mapping[str, _Binding] = MappingProxyType({})
_bindings: ContextVar[Mapping[str, _Binding]] = ContextVar("eventpub.ambient", default=_NONE)


@contextmanager
def bound(name: str, context: Mapping[str, Any]) -> Iterator[None]:
    """Bind a context for the block, in place of one of the same name, which is bound again afterwards.

    Args:
        name: of the context.
        context: what each event shall say; it must not change while it is bound.
    """
    bindings = _bindings.get()
    binding = _Binding(context, _lasting(bindings.get(name)))
    token = _bindings.set({**bindings, name: binding})
    try:
        yield
    finally:
        try:
            _bindings.reset(token)
        except ValueError:  # this is elsewhere
            binding.is_over = True


def get(name: str) -> Mapping[str, Any] | None:
    """Return the context bound by that name, or None."""
    binding = _lasting(_bindings.get().get(name))
    return binding.context if binding else None


def resolve() -> dict[str, Any]:
    """Return the union of what is bound, in a dict of its own."""
    merged: dict[str, Any] = {}
    for bound_last in _bindings.get().values():
        if binding := _lasting(bound_last):
            merged.update(binding.context)
    return merged


def _lasting(binding: _Binding | None) -> _Binding | None:
    while binding and binding.is_over:
        binding = binding.covered
    return binding
