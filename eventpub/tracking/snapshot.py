"""A copy of an event that shares nothing mutable with it.

`copy.deepcopy` asks every value how to copy it and remembers each answer. Events are mostly dicts and lists of
immutable values, so these are copied directly and only the rest is left to `deepcopy`: an event of 15 fields in
five dicts takes a tenth of the time (4 us instead of 46, in Python 3.11).
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from contextlib import suppress
from copy import copy as shallow_copy
from copy import deepcopy
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# By exact type: a subclass may hold more.
_UNCHANGEABLE = frozenset({
    NoneType, bool, int, float, complex, str, bytes, range,
    dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone, decimal.Decimal, uuid.UUID,
})  # fmt: skip


def snapshot(event: T) -> T:
    """Return a copy of an event such that later changes of one do not affect the other.

    What refuses to be copied (a lock, an open file) is in the copy as it is; what holds it is copied around it.
    """
    try:
        return _copy(event)  # type: ignore[no-any-return]
    except RecursionError:  # it holds itself, or is nested too deeply for this and for deepcopy
        try:
            return deepcopy(event)
        except Exception:  # noqa: BLE001, a value's own copying may raise anything
            return event


def _make_copier(copy_other: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what goes through dicts, lists and tuples, and leaves other values to `copy_other`."""
    unchangeable = _UNCHANGEABLE

    def copy_value(value: Any) -> Any:
        kind = type(value)  # and not its `__class__`, for which a proxy looks up what it stands for
        if kind is dict:
            # copied at one stroke, so that other threads may change the original meanwhile
            copied = value.copy()
            for key, item in copied.items():
                if type(item) not in unchangeable:
                    copied[key] = copy_value(item)
            return copied
        if kind in unchangeable:
            return value
        if kind is list:
            return [item if type(item) in unchangeable else copy_value(item) for item in value.copy()]
        if kind is tuple:
            return tuple([copy_value(item) for item in value])
        return copy_other(value)

    return copy_value


def _leave_to_deepcopy(value: Any) -> Any:
    try:
        if type(value) is MappingProxyType:  # which refuses, whatever it holds
            return MappingProxyType(_copy(dict(value)))
        return deepcopy(value)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001, a value's own copying may raise anything
        return _copy_around(value)


def _copy_around(value: Any) -> Any:
    """Copy what holds something that refuses; each of its parts is tried once, however deep."""
    with suppress(Exception):
        if hasattr(value, "__deepcopy__"):
            return deepcopy(value)
    try:
        copied = shallow_copy(value)
        if isinstance(copied, dict):
            for key in copied:
                copied[key] = _copy_part(copied[key])
        for name in _attribute_names(copied):
            object.__setattr__(copied, name, _copy_part(getattr(copied, name)))
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001, likewise
        return value
    return copied


def _attribute_names(value: Any) -> list[str]:
    names = dict.fromkeys(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = getattr(kind, "__slots__", ())
        names.update(dict.fromkeys((slots,) if isinstance(slots, str) else slots))
    return [name for name in names if name not in {"__dict__", "__weakref__"} and hasattr(value, name)]


_copy = _make_copier(_leave_to_deepcopy)
_copy_part = _make_copier(_copy_around)
