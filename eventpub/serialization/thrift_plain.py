"""Thrift struct -> plain JSON object by field names, for stores and people; fields of unknown ids included."""

from __future__ import annotations

import base64
import json
import math
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from .thrift_spec import field_names

UNKNOWN_FIELDS = "unknown_fields"  # in a plain object


class UnknownFields:
    """Fields that came with a struct and whose ids its class does not know: `{"201": {"str": "…"}}`.

    Attributes:
        ids: the ids that were found, each as often as it was.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._found: dict[int, tuple[object, dict[str, Any]]] = {}

    def keep(self, struct: object, fields: dict[str, Any]) -> None:
        """Note what came with `struct`, which is held on to, so that its place in memory stays its own."""
        self.ids.extend(fields)
        self._found[id(struct)] = (struct, fields)

    def find(self, struct: object) -> dict[str, Any]:
        """Return what came with `struct`; nothing if all of its ids are known."""
        return self._found.get(id(struct), (struct, {}))[1]


def name_unknown_fields(names: Collection[str]) -> str:
    """Return the name that unknown fields stand under beside fields of these names."""
    name = UNKNOWN_FIELDS
    while name in names:
        name += "_"
    return name


def to_plain(struct: Any, unknown: UnknownFields | None = None) -> dict[str, Any]:
    """Return a struct as a JSON object by field names, for stores and people; unset fields are left out.

    Binary becomes base64 text, a UUID its usual text, a set a list, NaN and the infinities the strings "NaN",
    "Infinity" and "-Infinity". A map becomes an object, or a list of pairs where its keys are structs or
    containers. An enum stays a number: a struct class does not say which enum it is. What `unknown` holds of a
    struct stands in its object under `UNKNOWN_FIELDS`, as it came; the name gets a `_` if the struct has it.
    """
    plain = {
        name: make_plain(value, unknown)
        for name in field_names(struct)
        if (value := getattr(struct, name)) is not None
    }
    if unknown and (fields := unknown.find(struct)):
        plain[name_unknown_fields(field_names(struct))] = make_plain(fields)
    return plain


def make_plain(value: Any, unknown: UnknownFields | None = None) -> Any:  # noqa: PLR0911, a table of types
    """Return any value of a struct as JSON has it, see `to_plain`."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else json.dumps(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Mapping):
        pairs = [[make_plain(key, unknown), make_plain(element, unknown)] for key, element in value.items()]
        if any(isinstance(key, (dict, list)) for key, _ in pairs):
            return pairs
        return {key if isinstance(key, str) else json.dumps(key): element for key, element in pairs}
    if isinstance(value, Collection):
        return [make_plain(element, unknown) for element in value]
    return to_plain(value, unknown)
