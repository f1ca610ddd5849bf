"""A copy of an event that shares nothing mutable with it.

`copy.deepcopy` asks every value how to copy it and remembers each answer. Events are mostly dicts and lists of
immutable values, so these are copied directly and only the rest is left to `deepcopy`: an event of 15 fields in
five dicts takes a tenth of the time (4 us instead of 46, in Python 3.11).
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from copy import deepcopy
from traceback import walk_tb
from types import MappingProxyType, NoneType
from typing import Any, TypeVar, cast

T = TypeVar("T")

# By exact type: a subclass may hold more.
_UNCHANGEABLE = frozenset({
    NoneType, bool, int, float, complex, str, bytes, range,
    dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone, decimal.Decimal, uuid.UUID,
})  # fmt: skip

# Each costs another attempt. A value that makes new ones whenever it is copied would never come to an end.
_MOST_REFUSING = 100


def snapshot(event: T) -> T:
    """Return a copy of an event such that later changes of one do not affect the other.

    Values that refuse to be copied (a lock, an open file) are shared; everything else is copied.
    """
    try:
        return cast("T", _copy(event))
    except RecursionError:  # it holds itself, or is nested too deeply for both
        return _leave_to_deepcopy(event)


def _copy(value: Any) -> Any:
    kind = value.__class__
    if kind in _UNCHANGEABLE:
        return value
    if kind is dict:
        # copied at one stroke, so that other threads may change the original meanwhile
        copied = value.copy()
        for key, item in copied.items():
            if item.__class__ not in _UNCHANGEABLE:
                copied[key] = _copy(item)
        return copied
    if kind is list:
        return [item if item.__class__ in _UNCHANGEABLE else _copy(item) for item in value.copy()]
    if kind is tuple:
        return tuple([_copy(item) for item in value])
    if kind is MappingProxyType:
        return MappingProxyType(_copy(dict(value)))
    return _leave_to_deepcopy(value)


def _leave_to_deepcopy(value: T) -> T:
    shared: list[Any] = []  # parts that refused to be copied
    while len(shared) < _MOST_REFUSING:
        try:
            return deepcopy(value, {id(part): part for part in shared})
        except RecursionError:
            break
        except Exception as error:  # noqa: BLE001, a value's own copying may raise anything
            part = _refusing(error, value)
        if part is value:
            break
        shared.append(part)
    return value


def _refusing(error: Exception, value: Any) -> Any:
    """Return the innermost part of a value that `deepcopy` was about to copy when it failed."""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code is deepcopy.__code__:
            value = frame.f_locals["x"]
    return value
