"""Values that JSON does not have -> what is written in their place.

| value                                               | becomes                                              |
|-----------------------------------------------------|------------------------------------------------------|
| date, datetime, time                                | ISO 8601                                             |
| timedelta                                           | seconds                                              |
| UUID, Path, IP address and network, Fraction, zone  | text                                                 |
| Decimal                                             | text: readers make floats of JSON's numbers          |
| bytes, bytearray, memoryview                        | base64                                               |
| member of an enum                                   | its value                                            |
| set, deque, view of a dict, other sequences         | a list                                               |
| mapping, dataclass, attrs, pydantic, Thrift struct  | an object                                            |
| numpy's scalars and arrays                          | numbers, text, lists                                 |
| `gettext_lazy`, `LocalProxy` and other proxies      | what they stand for                                  |

Which of these a class is, is found out once. Only modules that are loaded are asked: an application that holds
a Decimal has loaded decimal, and no other shall wait for it.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from operator import attrgetter, methodcaller
from types import NoneType, SimpleNamespace
from typing import Any

from .thrift_spec import field_names, is_struct_class
from .unwritable import UnfitError

Convert = Callable[[Any], Any]

_MAX_ITEMS = 102_400  # an event has no more bytes; a range of a billion is not a list
_MAX_KINDS = 2000  # classes remembered

NO_FORM = "JSON has no form for it; convert it first, or give the serializer a default="


def substitute(value: Any) -> Any:
    """Return what is written in the place of a value that JSON has no form for.

    Raises:
        UnfitError: there is nothing.
        Exception: what the value raised.
    """
    return _known[type(value)](value)


def substitute_by(default: Convert | None, value: Any) -> Any:
    """Return the same, asking the application first about its own classes and what has no form here.

    Args:
        default: returns what is written instead, or raises TypeError to leave it to us; None to ask nobody.
        value: it.
    """
    convert = _known[type(value)]
    if default is None or convert not in _AFTER_DEFAULT:
        return convert(value)
    try:
        found = default(value)
    except TypeError:
        return convert(value)
    if found is value:
        raise UnfitError("its default= returned the value itself; return what JSON has a form for")
    return found


# --- the conversions -------------------------------------------------------------------------------------


def _text_of_decimal(value: Any) -> str:
    if not value.is_finite():
        raise UnfitError("JSON has neither NaN nor infinities; leave it out, or give None or text")
    return str(value)


def _text_of_bytes(value: Any) -> str:
    return base64.b64encode(value).decode()


def _list_items(value: Any) -> list[Any]:
    if len(value) > _MAX_ITEMS:
        raise UnfitError("it has more items than an event has bytes; leave it out")
    return list(value)


def _read_array(value: Any) -> Any:
    if value.size > _MAX_ITEMS:
        raise UnfitError("it has more items than an event has bytes; leave it out")
    if value.dtype.kind in "Mm":  # times: as nanoseconds they would become bare numbers
        times = value.astype("datetime64[us]" if value.dtype.kind == "M" else "timedelta64[us]")
        if bool((times != times).any()):  # noqa: PLR0124, NaT is not equal to itself
            raise UnfitError("JSON has no NaT; leave it out, or give None")
        return times.tolist()
    return value.tolist()


def _read_dataclass(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__class__.__dataclass_fields__ if hasattr(value, name)}


def _read_attrs(value: Any) -> dict[str, Any]:
    return {item.name: getattr(value, item.name) for item in value.__class__.__attrs_attrs__}


def _read_msgspec(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__class__.__struct_fields__}


def _read_pydantic(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value.dict()


def _read_struct(value: Any) -> dict[str, Any]:
    return {name: item for name in field_names(value) if (item := getattr(value, name)) is not None}


def _look_behind(value: Any) -> Any:
    """Return what a proxy stands for, or its substitute: its `__class__` says what it behaves like."""
    behind = value.__class__
    if behind is type(value):
        raise UnfitError(NO_FORM)
    for plain in (str, bool, int, float, dict, list, tuple):
        if issubclass(behind, plain):
            return plain(value)
    if behind is NoneType:
        return None
    convert = _find_converter(behind)
    if convert is _look_behind:
        raise UnfitError(NO_FORM)
    return convert(value)


# Asked in this order; a module's name stands where the class is not to be imported for it.
_CONVERSIONS: tuple[tuple[Any, str, Convert], ...] = (
    (dt.date, "", methodcaller("isoformat")),  # a datetime is a date
    (dt.time, "", methodcaller("isoformat")),
    (dt.timedelta, "", methodcaller("total_seconds")),
    (dt.tzinfo, "", str),
    (enum.Enum, "", attrgetter("value")),
    ((bytes, bytearray, memoryview), "", _text_of_bytes),
    ((set, frozenset, deque), "", _list_items),
    ("uuid", "UUID", str),
    ("decimal", "Decimal", _text_of_decimal),
    ("fractions", "Fraction", str),
    ("pathlib", "PurePath", os.fspath),
    ("ipaddress", "_IPAddressBase", str),
    ("numpy", "generic", _read_array),
    ("numpy", "ndarray", _read_array),
    ("django.utils.functional", "Promise", str),
    ("collections", "UserString", str),
    (Mapping, "", dict),
    ((AbstractSet, Sequence, ValuesView), "", _list_items),
    (os.PathLike, "", os.fspath),
    (SimpleNamespace, "", lambda value: vars(value).copy()),
    ("pydantic", "BaseModel", _read_pydantic),
    ("msgspec", "Struct", _read_msgspec),
)
_AFTER_DEFAULT = frozenset({
    _read_dataclass, _read_attrs, _read_msgspec, _read_pydantic, _read_struct, _look_behind,
})  # fmt: skip


def _find_converter(kind: Any) -> Convert:
    if issubclass(kind, type):  # a class has the attributes of its instances' fields, and no values
        return _look_behind
    for class_or_module, name, convert in _CONVERSIONS:
        wanted = getattr(sys.modules.get(class_or_module), name, ()) if name else class_or_module
        if issubclass(kind, wanted):
            return convert
    if hasattr(kind, "__dataclass_fields__"):
        return _read_dataclass
    if hasattr(kind, "__attrs_attrs__"):
        return _read_attrs
    return _read_struct if is_struct_class(kind) else _look_behind


class _Known(dict[type, Convert]):
    """The conversion of each class that was met; a program that keeps making classes starts over."""

    def __missing__(self, kind: type) -> Convert:
        if len(self) >= _MAX_KINDS:
            self.clear()
        convert = self[kind] = _find_converter(kind)
        return convert


_known = _Known()
