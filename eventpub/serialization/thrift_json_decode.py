"""Thrift JSON -> Thrift struct, written by `thrift_json`, by thrift itself, or by another language.

Strict where a mistake would go unnoticed: type names, shapes, counts, ranges and required fields are checked,
and a `DecodeError` names the place by its dotted path. Lenient where real senders differ:

- a float in an integer field is truncated, as baseplate's documentation sends `time.time() * 1000`;
- NaN and the infinities may be numbers, Python's bare `nan` and `inf`, or the strings of thrift's other
  languages (`"NaN"`, `"Infinity"`, `"-Infinity"`);
- strings may hold raw control characters, base64 may lack its padding, a bool may be `true`;
- fields with unknown ids are skipped, or kept as they came where they are asked for (`UnknownFields`), so that
  a sender may be newer than its receiver.

A map whose keys are structs or containers is not JSON, so it cannot be read.
"""

from __future__ import annotations

import base64
import json
import math
import re
import uuid
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .errors import DecodeError
from .thrift_json import show_value
from .thrift_spec import INTEGER_BITS, Field, Type, frozen_dict, read_by_thrift, read_declared, read_fields

if TYPE_CHECKING:
    from .thrift_plain import UnknownFields

T = TypeVar("T")

MAX_DEPTH = 64  # structs within structs; thrift's own readers take no more

_FIELD_ID = re.compile(r"-?[0-9]+")
_STRING_OR_BARE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|\b(?:nan|inf)\b', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BARE = {"nan": "NaN", "inf": "Infinity"}
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_CONTAINERS: dict[str, tuple[Any, Any]] = {"lst": (list, tuple), "set": (set, frozenset)}  # to change, or not

_json = json.JSONDecoder(strict=False)  # TJSONProtocol leaves most control characters in strings as they are


def load_json(text: bytes) -> object:
    """Decode JSON text as `TJSONProtocol` writes it.

    Raises:
        ValueError: the text is neither JSON nor that, is no UTF-8, is nested too deeply, or holds a number of
            more digits than Python converts (4,300).
    """
    decoded = text.decode()
    try:
        try:
            return _json.decode(decoded)
        except json.JSONDecodeError:
            return _json.decode(_STRING_OR_BARE.sub(lambda found: _BARE.get(found[0], found[0]), decoded))
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply") from None


class Around(NamedTuple):
    """What a reader knows of its surroundings.

    Attributes:
        depth: structs around the value.
        unknown: where fields of unknown ids are kept; None skips them.
    """

    depth: int
    unknown: UnknownFields | None = None


Reader = Callable[[Any, Around], Any]  # of a decoded value


def decode_struct(cls: type[T], document: object, unknown: UnknownFields | None = None) -> T:
    """Build the struct of class `cls` from decoded Thrift JSON.

    Args:
        cls: a class the thrift compiler wrote.
        document: what `load_json` returned.
        unknown: gets the fields whose ids the classes do not know, and enums stay numbers, known or not; None
            skips such fields, and leaves enums to thrift.

    Raises:
        DecodeError: the document is not such a struct.
    """
    try:
        struct: T = _read_struct(cls, document, Around(1, unknown))
    except Refused as refused:
        raise DecodeError(refused.path.lstrip(".") or cls.__name__, refused.reason) from None
    return struct


# --- structs and containers ------------------------------------------------------------------------------


class Refused(Exception):  # noqa: N818, never leaves this module
    """Why a value cannot be read; every level it passes puts its step in front of `path`."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


@cache
def _plan_fields(cls: type, *, as_declared: bool) -> tuple[dict[str, tuple[Field, Reader]], frozenset[str]]:
    """Return the fields of a class with their readers by id as text, and the names of the required ones."""
    fields = read_declared(cls) if as_declared else read_fields(cls)
    by_id = {str(field.number): (field, find_reader(field.type)) for field in fields}
    return by_id, frozenset(field.name for field in fields if field.is_required)


def find_reader(type_: Type) -> Reader:
    """Return what reads a value of this type; it raises `Refused`."""
    if type_.struct:
        return lambda value, around: _read_struct(type_.struct, value, around._replace(depth=around.depth + 1))
    if type_.key:
        return partial(_read_map, type_, _key_reader(type_.key), find_reader(type_.element))
    if type_.element:
        return partial(_read_list, type_, find_reader(type_.element))
    return _LEAVES[type_.leaf]


def _read_struct(cls: Any, document: Any, around: Around) -> Any:
    by_id, required = _plan_fields(cls, as_declared=around.unknown is not None)
    if around.depth > MAX_DEPTH:
        raise Refused(f"nested more than {MAX_DEPTH} structs deep")
    if document.__class__ is not dict:
        raise Refused(f'expected an object {{"ID":{{"TYPE":VALUE}}}}, not {show_value(document)}')
    if not by_id:
        try:
            return read_by_thrift(cls, document)
        except ValueError as error:
            raise Refused(str(error)) from error
    values, others = {}, {}
    for number, holder in document.items():
        if number in by_id:
            field, read = by_id[number]
            values[field.name] = _read_within(field, read, _read_held(field, holder), around)
        elif _FIELD_ID.fullmatch(number):
            others[number] = holder
        else:
            raise Refused(f"{show_value(number)} is not a field id")
    if not required <= values.keys():
        raise Refused("the required field is missing", f".{min(required - values.keys())}")
    struct = cls(**values)
    if others and around.unknown is not None:
        around.unknown.keep(struct, others)
    return struct


def _read_held(field: Field, holder: Any) -> Any:
    """Return the value in `{"TYPE":VALUE}`."""
    if holder.__class__ is not dict or [*holder] != [field.type.name]:
        raise Refused(f'expected {{"{field.type.name}":VALUE}}, not {show_value(holder)}', f".{field.name}")
    return holder[field.type.name]


def _read_list(type_: Type, read: Reader, value: Any, around: Around) -> Any:
    if value.__class__ is not list or value[:1] != [type_.element.name] or len(value) == 1:
        raise Refused(f'expected ["{type_.element.name}",N,VALUE,…], not {show_value(value)}')
    _, count, *elements = value
    _expect_count(count, elements)
    result = [_read_within(index, read, element, around) for index, element in enumerate(elements)]
    try:
        return _CONTAINERS[type_.name][type_.is_immutable](result)
    except TypeError as error:
        raise Refused(f"{error}, so it cannot be in a set") from error


def _read_map(type_: Type, read_key: Reader, read: Reader, value: Any, around: Around) -> Any:
    names = [type_.key.name, type_.element.name]
    if value.__class__ is not list or value[:2] != names or [*map(type, value[3:])] != [dict]:
        raise Refused(f'expected ["{names[0]}","{names[1]}",N,{{KEY:VALUE}}], not {show_value(value)}')
    _expect_count(value[2], value[3])
    result = {}
    for key, element in value[3].items():
        result[_read_within(key, read_key, key, around)] = _read_within(key, read, element, around)
    return frozen_dict(result) if type_.is_immutable else result


def _read_within(place: Field | int | str, read: Reader, value: Any, around: Around) -> Any:
    """Read the part that stands in a field, at an index or under a key; if it is refused, say where."""
    try:
        return read(value, around)
    except Refused as refused:
        step = f".{place.name}" if isinstance(place, Field) else f"[{show_value(place)}]"
        refused.path = step + refused.path
        raise


def _expect_count(count: object, elements: Collection[object]) -> None:
    if count.__class__ is not int or count != len(elements):
        raise Refused(f"{show_value(count)} elements are announced, {len(elements)} are there")


def _key_reader(type_: Type) -> Reader:
    """Return the reader of a map's keys, which are strings in JSON also where they hold numbers."""

    def read_number(key: str, around: Around) -> Any:
        try:
            number = load_json(key.encode())
        except ValueError:
            raise Refused(f"expected a {type_.name} as key") from None
        return _NUMBERS[type_.name](number, around)

    def refuse(_key: str, _around: Around) -> Any:
        raise Refused(f"JSON has no keys of type {type_.name}")

    if type_.name in _NUMBERS:
        return read_number
    return find_reader(type_) if type_.leaf else refuse


# --- values ----------------------------------------------------------------------------------------------


def _read_bool(value: Any, _around: Around) -> bool:
    if value.__class__ not in (int, bool) or value not in (0, 1):
        raise Refused(f"expected a bool as 1 or 0, not {show_value(value)}")
    return bool(value)


def _integer_reader(bits: int) -> Reader:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def read(value: Any, _around: Around) -> int:
        if value.__class__ is float and math.isfinite(value):
            value = int(value)
        if value.__class__ is not int or not low <= value <= high:
            raise Refused(f"expected a number from {low:,} to {high:,}, not {show_value(value)}")
        return value

    return read


def _read_double(value: Any, _around: Around) -> float:
    try:
        if value.__class__ in (float, int):
            return float(value)
        return _NOT_FINITE[value]
    except (OverflowError, LookupError, TypeError):
        raise Refused(f"expected a number, not {show_value(value)}") from None


def _read_text(value: Any, _around: Around) -> str:
    if value.__class__ is not str:
        raise Refused(f"expected text, not {show_value(value)}")
    if not value.isascii() and _SURROGATE.search(value):  # JSON can escape what UTF-8 cannot hold
        raise Refused(f"{show_value(value)} holds a lone surrogate")
    return str(value)


def _read_base64(value: Any, around: Around) -> bytes:
    text = _read_text(value, around)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise Refused(f"expected base64, not {show_value(value)}") from None


def _read_uuid(value: Any, around: Around) -> uuid.UUID:
    try:
        return uuid.UUID(_read_text(value, around))
    except ValueError:
        raise Refused(f"expected a UUID, not {show_value(value)}") from None


_INTEGERS = {name: _integer_reader(bits) for name, bits in INTEGER_BITS.items()}
_NUMBERS: dict[str, Reader] = {"tf": _read_bool, "dbl": _read_double, **_INTEGERS}
_LEAVES: dict[str, Reader] = {**_NUMBERS, "text": _read_text, "base64": _read_base64, "uid": _read_uuid}
