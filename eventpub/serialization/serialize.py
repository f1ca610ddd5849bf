"""Event -> the bytes of one message: Thrift JSON for version 2 of the wire, plain JSON for version 2j.

Both are compact UTF-8, which a batch takes as it is (see `wire`). An event that cannot be written as a whole
is not written at all: the error names the value that stands in the way by its dotted path.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import json
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter, methodcaller
from typing import Any

from eventpub.errors import EventSerializationError

from .thrift_json import serialize_v2_event as serialize_v2_event  # noqa: PLC0414, found here too
from .thrift_json import show_value
from .thrift_spec import is_struct_class


def serialize_event(event: Any) -> bytes:
    """Serialize a Thrift struct as a version 2 event, a mapping or an `Event` as a version 2j event.

    Raises:
        EventSerializationError: `event` is none of these, or holds what its format cannot.
    """
    if is_struct_class(event.__class__):
        return serialize_v2_event(event)
    return serialize_json_event(event)


def serialize_json_event(event: Any) -> bytes:
    """Serialize a mapping, or an `Event`'s `as_dict`, as a JSON object; the order of its keys is kept.

    Besides what JSON has, values may be dates and datetimes (ISO 8601), UUIDs, Decimals (as text: readers
    make floats of JSON's numbers), bytes (base64), enum members (their values), tuples, sets, mappings.
    Keys that are numbers, booleans or None are written as text. If two keys of a mapping are the same then,
    such as 1 and "1", both are written, and readers take the last.

    Raises:
        EventSerializationError: `event` is neither, or holds NaN, an infinity, or a value of another type.
    """
    if event.__class__ is not dict and not isinstance(event, Mapping):
        if not isinstance(event, _loaded("eventpub.event", "Event")):
            reason = (
                "no mapping, eventpub.Event or Thrift struct; give a dict, or an instance of a generated class"
            )
            if is_struct_class(event.__class__):
                reason = "a Thrift struct; give it to serialize_v2_event, or here a dict"
            raise EventSerializationError("event", show_value(event), reason)
        event = event.as_dict()
    try:
        return _write(event).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _explain(event, error) from error


# --- what JSON does not have -----------------------------------------------------------------------------

_SUBSTITUTES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (dt.date, methodcaller("isoformat")),  # a datetime is a date
    (enum.Enum, attrgetter("value")),
    ((bytes, bytearray, memoryview), lambda value: base64.b64encode(value).decode()),
    ((set, frozenset), list),
    (Mapping, dict),
)


def _substitute(value: Any) -> Any:
    """Return what JSON writes for a value it has no form for."""
    for kind, substitute in _SUBSTITUTES:
        if isinstance(value, kind):
            return substitute(value)
    if isinstance(value, _loaded("uuid", "UUID")):
        return str(value)
    if isinstance(value, _loaded("decimal", "Decimal")):
        if not value.is_finite():
            raise ValueError("JSON has neither NaN nor infinities; leave it out, or give None or text")
        return str(value)
    raise TypeError(f"JSON has no {type(value).__name__}; convert it first")


def _loaded(module: str, name: str) -> Any:
    """Return a class, or no class at all if its module is not loaded.

    Whoever holds an instance has loaded it. Nobody else shall pay 9 ms for decimal, nor load subprocess, which
    comes with uuid on Python 3.10, nor what `Event` needs.
    """
    return getattr(sys.modules.get(module), name, ())


_write = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,  # what holds itself ends in a RecursionError just as well
    separators=(",", ":"),
    default=_substitute,
).encode


# --- saying what is wrong with an event ------------------------------------------------------------------


def _explain(event: Any, error: Exception) -> EventSerializationError:
    """Return the error that names the first value that cannot be written."""
    try:
        _check("", event)
    except EventSerializationError as found:
        return found
    except RecursionError:
        reason = "nested too deeply; does it hold itself?"
        return EventSerializationError("event", f"a {type(event).__name__}", reason)
    return EventSerializationError("event", show_value(event), str(error))


def _check(path: str, value: Any) -> None:
    """Raise EventSerializationError for the first part of `value` that cannot be written."""
    try:
        if isinstance(value, dict):
            for key, item in value.items():
                _check_key(f"a key of {path or 'event'}", key)
                _check(f"{path}.{key}" if path else f"{key}", item)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                _check(f"{path}[{index}]", item)
        elif isinstance(value, (str, int, float, type(None))):
            _write(value).encode()
        else:
            _check(path, _substitute(value))
    except (TypeError, ValueError) as error:
        raise EventSerializationError(path or "event", show_value(value), str(error)) from error


def _check_key(path: str, key: Any) -> None:
    if not isinstance(key, (str, int, float, type(None))):
        raise EventSerializationError(path, show_value(key), "JSON's keys are text")
    _check(path, key)
