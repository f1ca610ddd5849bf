"""A JSON object with field names -> a Thrift struct, nested ones too.

Says what the serializer cannot know any more: unknown fields, and values for which a struct has no place. What
types the other values have is the serializer's to judge.
"""

from __future__ import annotations

from typing import Any

from eventpub.errors import EventSerializationError
from eventpub.serialization.thrift_json import show_value
from eventpub.serialization.thrift_spec import Type, read_fields
from eventpub.settings.did_you_mean import did_you_mean


def build_event(cls: Any, value: object, path: str = "") -> Any:
    """Return an instance of a class the thrift compiler wrote.

    Args:
        cls: the class.
        value: what JSON has for it; null is a field that is not set.
        path: where it stands in the event, for errors.

    Raises:
        EventSerializationError: it is no object, names a field that there is not, or gives one a wrong shape.
    """
    if not isinstance(value, dict):
        raise EventSerializationError(path or "event", show_value(value), "expected an object of field names")
    types = {field.name: field.type for field in read_fields(cls)}
    prefix = f"{path}." if path else ""
    for name in value:
        if name not in types:
            hint = did_you_mean(name, types)
            reason = f"{cls.__name__} has no such field{hint} (it has {', '.join(types)})"
            raise EventSerializationError(prefix + name, "unknown", reason)
    return cls(**{name: _build_value(types[name], item, prefix + name) for name, item in value.items()})


def _build_value(kind: Type, value: Any, path: str) -> Any:
    if value is None:
        return None
    if kind.struct:
        return build_event(kind.struct, value, path)
    if kind.element and not kind.key and isinstance(value, list):
        return [_build_value(kind.element, item, f"{path}[{index}]") for index, item in enumerate(value)]
    if kind.leaf == "tf" and not isinstance(value, bool):  # thrift takes anything, and writes it as false
        raise EventSerializationError(path, show_value(value), "expected true or false")
    return value
