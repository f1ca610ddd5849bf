"""Stored event + newer struct class -> the event with names for fields that its collector did not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventpub.serialization.thrift_json_decode import Around, Refused, find_reader
from eventpub.serialization.thrift_plain import UnknownFields, make_plain, name_unknown_fields
from eventpub.serialization.thrift_spec import read_declared

if TYPE_CHECKING:
    from eventpub.serialization.thrift_spec import Field, Type


def name_unknown(cls: Any, plain: dict[str, Any]) -> dict[str, Any]:
    """Return a stored event in which each field that `cls` knows has its name, at every depth.

    A field that this class does not know either, or whose value is not of the type that it has here, stays
    where it is.

    Args:
        cls: the struct class of the event, newer than that of the collector.
        plain: the event as it is stored.
    """
    fields = {field.name: field for field in read_declared(cls)}
    by_id = {str(field.number): field for field in fields.values()}
    unknown = name_unknown_fields(fields)
    named = {
        name: _name_within(fields[name].type, value) if name in fields else value
        for name, value in plain.items()
        if name != unknown
    }
    left = {}
    for number, holder in (plain.get(unknown) or {}).items():
        try:
            named[by_id[number].name] = _read_held(by_id[number], holder)
        except (KeyError, Refused):
            left[number] = holder
    return {**named, unknown: left} if left else named


def _name_within(type_: Type, value: Any) -> Any:
    if type_.struct and isinstance(value, dict):
        return name_unknown(type_.struct, value)
    if type_.key and isinstance(value, dict):
        return {key: _name_within(type_.element, element) for key, element in value.items()}
    if type_.element and isinstance(value, list):
        return [_name_within(type_.element, element) for element in value]
    return value


def _read_held(field: Field, holder: Any) -> Any:
    """Return the stored form of a value in `{"TYPE":VALUE}`.

    Raises:
        KeyError: it is of another type.
        Refused: it is not such a value.
    """
    if not isinstance(holder, dict):
        raise KeyError
    unknown = UnknownFields()
    return make_plain(find_reader(field.type)(holder[field.type.name], Around(1, unknown)), unknown)
