"""What an asynchronous generator emits when it is left behind, and its event loop closes it.

The loop does so in a task of whatever runs at that moment, which may be another request. What the generator
emits then, in a `finally`, says the request that it began in.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from eventpub import ambient

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_DYING = 100

_began: dict[int, tuple[weakref.ref[Any], ambient.Bound]] = {}  # by id of the generator
_dying: dict[int, ambient.Bound] = {}  # of those that are being collected: the last ones, complete ones too


def close_in_its_request() -> None:
    """Have the running event loop close generators in the request they began in, if it does not do so yet."""
    firstiter, finalizer = sys.get_asyncgen_hooks()
    if finalizer is not None and not isinstance(finalizer, _Finalizer):
        sys.set_asyncgen_hooks(_FirstStep(firstiter), _Finalizer(finalizer))


class _FirstStep:
    """Notes what was bound where a generator began."""

    def __init__(self, then: Callable[[Any], object] | None) -> None:
        self._then = then

    def __call__(self, generator: Any) -> None:
        key = id(generator)
        _dying.pop(key, None)
        _began[key] = (weakref.ref(generator, lambda _: _note_death(key)), ambient.find_bound())
        if self._then is not None:
            self._then(generator)


class _Finalizer:
    """Has a generator closed where it began."""

    def __init__(self, then: Callable[[Any], object]) -> None:
        self._then = then

    def __call__(self, generator: Any) -> None:
        if id(generator) in _began:  # Python 3.14 finalizes before it tells weak references
            _note_death(id(generator))
        bound = _dying.pop(id(generator), ambient.NOTHING)
        ambient.call_within(bound, lambda: self._then(generator))


def _note_death(key: int) -> None:
    if len(_dying) >= _MOST_DYING:
        _dying.clear()
    _dying[key] = _began.pop(key)[1]
