"""Contexts of trackers: entered and left where the code runs, by name, the one entered last at the end.

They are a part of what `eventpub.ambient` keeps, so each thread, greenlet, task and request has its own.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from eventpub.ambient import NOTHING, Binding, bound_here, find_bound, reset_here

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventpub.ambient import Bound, Names

_NO_NAMES: Names = {}  # never changed, as no `Names` are


def list_contexts(owner: object) -> dict[str, Any]:
    """Return the contexts of an owner that are entered here, by name."""
    names = find_bound()[1].get(owner, _NO_NAMES)
    return {name: kept.context for name, latest in names.items() if (kept := latest.lasting())}


def enter(owner: object, name: str, context: Any) -> None:
    """Enter a context behind the others, in place of one of that name."""
    served, contexts, blocks, around = find_bound()
    names = {**_without(contexts.get(owner, _NO_NAMES), name), name: Binding(context)}
    bound_here.set((served, {**contexts, owner: names}, blocks, around))


def leave(owner: object, name: str) -> None:
    """Leave a context.

    Raises:
        KeyError: there is none of that name.
    """
    served, contexts, blocks, around = find_bound()
    names = contexts.get(owner, _NO_NAMES)
    if name not in names or names[name].lasting() is None:
        raise KeyError(name)
    bound_here.set((served, _replace(contexts, owner, _without(names, name)), blocks, around))


def begin(block: object, owner: object, name: str, context: Any) -> Binding:
    """Enter a context for a block, until `end` finds the block in the running context."""
    bound = bound_here.get()
    if bound[0] is not None and bound[0].is_over:
        bound = find_bound()
    served, contexts, blocks, around = bound
    names = contexts.get(owner, _NO_NAMES)
    covered = names.get(name)
    binding = Binding(context, block, owner, name, bound, covered)
    entered = {**names, name: binding} if covered is None else {**_without(names, name), name: binding}
    binding.after = after = (served, {**contexts, owner: entered}, (*blocks, binding), around)
    binding.token = bound_here.set(after)
    return binding


def end(block: object) -> Binding | None:
    """End what a block has begun here: let its name be what it was, and every other what it is now.

    Returns:
        What was ended, None if the block has begun nothing here.
    """
    bound = bound_here.get()
    if (blocks := bound[2]) and (binding := blocks[-1]).block is block and bound is binding.after:
        binding.after = NOTHING  # which it is a part of
        token = binding.token
        if token is not None and reset_here(token):
            binding.token = None
            return binding
    return _end_within(block, find_bound())


def _end_within(block: object, bound: Bound) -> Binding | None:
    served, contexts, blocks, around = bound
    binding = next((begun for begun in reversed(blocks) if begun.block is block), None)
    if binding is None:
        return None
    token, binding.token, binding.after = binding.token, None, NOTHING
    if token is not None and not reset_here(token):  # what is bound here was taken along from where it began
        binding.is_over = True
    others = tuple(begun for begun in blocks if begun is not binding)
    names = contexts.get(binding.owner, _NO_NAMES)
    names = _put_back(names, binding.name, binding.before[1].get(binding.owner, _NO_NAMES))
    bound_here.set((served, _replace(contexts, binding.owner, names), others, around))
    return binding


def _replace(contexts: Mapping[object, Names], owner: object, names: Names) -> dict[object, Names]:
    replaced = {**contexts, owner: names}
    if not names:
        del replaced[owner]
    return replaced


def _without(names: Names, name: str) -> dict[str, Binding]:
    return {other: binding for other, binding in names.items() if other != name}


def _put_back(names: Names, name: str, before: Names) -> Names:
    """Return `names` with the binding and the rank that `name` had in `before`."""
    others = _without(names, name)
    if name not in before:
        return others
    earlier = frozenset(takewhile(name.__ne__, before))
    lower = list(takewhile(earlier.__contains__, others))
    return {**{other: others.pop(other) for other in lower}, name: before[name], **others}
