"""Event -> the bytes of one message: Thrift JSON for version 2 of the wire, plain JSON for version 2j.

Both are compact UTF-8, which a batch takes as it is (see `wire`). A value that has no form costs that value and
not the event: a marker that names its type stands in its place and is counted (see `unwritable`). In tests it
is an error instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from eventpub.errors import EventSerializationError

from .json_repair import repair_event
from .substitutes import substitute, substitute_by
from .thrift_json import serialize_v2_event as serialize_v2_event  # noqa: PLC0414, found here too
from .thrift_spec import is_struct_class
from .unwritable import describe_type

Default = Callable[[Any], Any]


def serialize_event(event: Any, *, default: Default | None = None) -> bytes:
    """Serialize a Thrift struct as a version 2 event, a mapping or an `Event` as a version 2j event.

    Args:
        event: it.
        default: as for `serialize_json_event`.

    Raises:
        EventSerializationError: `event` is none of these, or lacks a required field.
    """
    if is_struct_class(event.__class__):
        return serialize_v2_event(event, default=default)
    return serialize_json_event(event, default=default)


def serialize_json_event(event: Any, *, default: Default | None = None) -> bytes:
    """Serialize a mapping, or an `Event`'s `as_dict`, as a JSON object; the order of its keys is kept.

    Values may be of any type that `substitutes` lists; of others, and of NaN and the infinities, a marker is
    written that names the type. Keys are text: numbers, booleans and None become that, and what has a text for
    a substitute, such as a date. If two keys of a mapping are the same then, such as 1 and "1", both are
    written, and readers take the last. Lone surrogates become U+FFFD.

    Args:
        event: it.
        default: called with a value of the application's own class, or that has no form here; it returns what
            is written in its place, or raises TypeError to leave it to us.

    Raises:
        EventSerializationError: `event` is neither.
        UnwritableValueError: values are strict, as in tests, and one has no form.
    """
    if event.__class__ is not dict and not isinstance(event, Mapping):
        event = _read_event(event)
    try:
        if default is None:
            return _write(event).encode()
        return _writer_with(default)(event).encode()
    except Exception:  # noqa: BLE001, a value may raise anything when it is asked for its items
        return _write(repair_event(event, default)).encode()


def _read_event(event: Any) -> Mapping[Any, Any]:
    """Return the data of an `Event`."""
    kind: Any = getattr(sys.modules.get("eventpub.event"), "Event", ())
    if isinstance(event, kind):
        return event.as_dict()  # type: ignore[no-any-return]
    reason = "not a mapping, eventpub.Event or Thrift struct; pass a dict, or an instance of a generated class"
    if is_struct_class(event.__class__):
        reason = "a Thrift struct; give it to serialize_v2_event, or here a dict"
    raise EventSerializationError("event", describe_type(event), reason)


def _make_writer(default: Default | None) -> Callable[[Any], str]:
    return json.JSONEncoder(
        ensure_ascii=False,
        allow_nan=False,
        check_circular=False,  # what holds itself ends in a RecursionError just as well
        separators=(",", ":"),
        default=substitute if default is None else partial(substitute_by, default),
    ).encode


_write = _make_writer(None)
_writer_with = lru_cache(maxsize=64)(_make_writer)
