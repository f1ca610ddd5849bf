"""Thrift JSON by field ids <-> a JSON object by field names, for people who read and correct events.

`name_fields` never fails: what it is given may have been refused by a collector. A value that is not of its
field's type stands as it came, `{"TYPE": VALUE}`, and fields of unknown ids stand under `unknown_fields`, as
`thrift_plain.to_plain` has them. `number_fields` turns the object back, and `decode_struct` then says whether
that is a valid struct.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from .errors import DecodeError
from .thrift_json import show_value
from .thrift_plain import name_unknown_fields
from .thrift_spec import Type, read_declared

_FIELD_ID = re.compile(r"-?[0-9]+")
_TYPE_NAMES = frozenset(("tf", "i8", "i16", "i32", "i64", "dbl", "str", "rec", "map", "set", "lst", "uid"))
_MAP_PARTS, _MAP_OBJECT = 4, 3  # ["KEY TYPE", "VALUE TYPE", N, {…}]


def is_by_ids(document: object) -> bool:
    """Return whether a JSON document looks like a struct of Thrift JSON, `{"1":{"str":"…"}}`."""
    return (
        isinstance(document, dict)
        and bool(document)
        and all(_FIELD_ID.fullmatch(number) and _held_type(holder) for number, holder in document.items())
    )


def name_fields(cls: Any, document: Any) -> Any:
    """Return a struct of Thrift JSON by field names; what is not one is returned as it is.

    Args:
        cls: the struct class, written by the thrift compiler.
        document: what `load_json` returned.
    """
    if not isinstance(document, dict):
        return document
    declared = read_declared(cls)
    by_id = {str(field.number): field for field in declared}
    named, left = {}, {}
    for number, holder in document.items():
        if number not in by_id:
            left[number] = holder
        elif _held_type(holder) == by_id[number].type.name:
            named[by_id[number].name] = _name_value(by_id[number].type, holder[by_id[number].type.name])
        else:
            named[by_id[number].name] = holder
    return {**named, name_unknown_fields([field.name for field in declared]): left} if left else named


def number_fields(cls: Any, plain: Any) -> dict[str, Any]:
    """Return an object by field names as the struct of Thrift JSON that it means, in the order of its class.

    Raises:
        DecodeError: a name is not a field of the class; values are not checked.
    """
    return _number_struct(cls, plain, "")


def _held_type(holder: object) -> str:
    """Return the type name in `{"TYPE":VALUE}`; empty if that is something else."""
    names = [*holder] if isinstance(holder, dict) else []
    return str(names[0]) if len(names) == 1 and names[0] in _TYPE_NAMES else ""


def _name_value(type_: Type, value: Any) -> Any:
    """Return a value by names, or `{"TYPE": VALUE}` if it has not the shape of its type."""
    if type_.struct and isinstance(value, dict):
        return name_fields(type_.struct, value)
    if type_.key and _is_map(type_, value):
        return {key: _name_value(type_.element, element) for key, element in value[_MAP_OBJECT].items()}
    if type_.name in ("lst", "set") and _is_list(type_, value):
        return [_name_value(type_.element, element) for element in value[2:]]
    if not type_.leaf or isinstance(value, (dict, list)):
        return {type_.name: value}
    if type_.leaf == "tf" and value in (0, 1):
        return bool(value)
    return json.dumps(value) if isinstance(value, float) and not math.isfinite(value) else value


def _is_list(type_: Type, value: Any) -> bool:
    return isinstance(value, list) and value[:2] == [type_.element.name, len(value) - 2]


def _is_map(type_: Type, value: Any) -> bool:
    if not isinstance(value, list) or len(value) != _MAP_PARTS or not isinstance(value[_MAP_OBJECT], dict):
        return False
    return value[:_MAP_OBJECT] == [type_.key.name, type_.element.name, len(value[_MAP_OBJECT])]


def _number_struct(cls: Any, plain: Any, path: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise DecodeError(path or cls.__name__, f"expected an object, not {show_value(plain)}")
    fields = {field.name: field for field in read_declared(cls)}
    unknown = name_unknown_fields(fields)
    numbered: dict[str, Any] = {}
    for name, field in fields.items():
        if plain.get(name) is not None:
            place = f"{path}.{name}" if path else name
            numbered[str(field.number)] = {field.type.name: _number_value(field.type, plain[name], place)}
    for name in plain:
        if name not in fields and name != unknown:
            known = ", ".join(sorted(fields))
            raise DecodeError(f"{path}.{name}" if path else name, f"is not a field; the fields are {known}")
    others = plain.get(unknown) or {}
    if not isinstance(others, dict):
        raise DecodeError(f"{path}.{unknown}" if path else unknown, 'expected {"ID": {"TYPE": VALUE}}')
    return {**numbered, **others}


def _number_value(type_: Type, value: Any, path: str) -> Any:
    if type_.struct:
        return _number_struct(type_.struct, value, path)
    if type_.key and isinstance(value, dict):
        pairs = {key: _number_value(type_.element, each, f"{path}[{key!r}]") for key, each in value.items()}
        return [type_.key.name, type_.element.name, len(pairs), pairs]
    if type_.name in ("lst", "set") and isinstance(value, list):
        elements = [_number_value(type_.element, each, f"{path}[{index}]") for index, each in enumerate(value)]
        return [type_.element.name, len(elements), *elements]
    return int(value) if type_.leaf == "tf" and isinstance(value, bool) else value
