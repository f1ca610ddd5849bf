"""A JSON object with field names -> a Thrift struct, nested ones too.

Reports what the serializer could no longer see: unknown fields, and values that do not fit a struct's shape.
The types of all other values are left to the serializer.
"""

from __future__ import annotations

from typing import Any

from eventpub.errors import EventSerializationError
from eventpub.serialization.thrift_json import show_value
from eventpub.serialization.thrift_spec import Type, read_fields
from eventpub.settings.did_you_mean import did_you_mean


def build_event(cls: Any, value: object, path: str = "") -> Any:
    """Return an instance of a generated Thrift class.

    Args:
        cls: the class.
        value: the decoded JSON; null leaves a field unset.
        path: where it stands in the event, for errors.

    Raises:
        EventSerializationError: not an object, or with a field that is unknown or has the wrong shape.
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
