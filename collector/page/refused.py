"""Refused event -> what the page shows of it: its fields by name as far as they can be read, and the fault.

The decoders of `events` stop at the first fault. This one reads on, checks nothing, and gives names to the
fields of Thrift JSON wherever they can be told.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from eventpub.collector.events.containers import open_container
from eventpub.collector.events.objects import UNDECODABLE, split_array
from eventpub.serialization.thrift_json_decode import load_json
from eventpub.serialization.thrift_spec import read_declared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventpub.serialization.thrift_spec import Type

MAX_RAW_CHARACTERS = 64 * 1024  # of an event as it came; of a longer one, so many are shown

_FIELD = re.compile(r"((?:[^\s:\[]|\[[^\]]{0,80}\])+): ")  # what a DecodeError begins with
_MAX_DEPTH = 64
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def find_field(reason: str) -> str | None:
    """Return the path of the field that a reason begins with; None if it is about the whole event."""
    found = _FIELD.match(reason)
    return found[1] if found and found[1] != "event" else None


def split_body(version: str, body: bytes) -> list[str]:
    """Return the text of each event of a body as it came; nothing if they cannot be told apart."""
    try:
        array = open_container(version, body).array
        try:
            return split_array(array)
        except UNDECODABLE:
            documents = load_json(array)
            return [json.dumps(document) for document in documents] if isinstance(documents, list) else []
    except (ValueError, RecursionError):
        return []


def show_event(raw: str, cls: type | None) -> str:
    """Return a refused event as JSON, with names for its fields where `cls` is its struct class; or `null`."""
    if len(raw) > MAX_RAW_CHARACTERS:
        return "null"
    try:
        document = load_json(raw.encode())
        named = document if cls is None else _name_struct(cls, document, _MAX_DEPTH)
        text = _encode(named)
        text.encode()
    except (ValueError, RecursionError):  # nested too deeply, NaN, half of a surrogate pair
        return "null"
    return text


def _name_struct(cls: Any, document: Any, depth: int) -> Any:
    if not isinstance(document, dict) or not depth:
        return document
    fields = {str(field.number): field for field in read_declared(cls)}
    named = {}
    for number, holder in document.items():
        field = fields.get(number)
        if field is None:
            named[number] = holder
            continue
        is_held = isinstance(holder, dict) and len(holder) == 1
        value = next(iter(holder.values())) if is_held else holder
        named[field.name] = _name_value(field.type, value, depth - 1)
    return named


def _name_value(type_: Type, value: Any, depth: int) -> Any:
    if type_.struct:
        return _name_struct(type_.struct, value, depth)
    if not type_.element or not isinstance(value, list):
        return value
    if not type_.key:  # ["TYPE", COUNT, VALUE, …]
        is_list = len(value) > 1 and isinstance(value[1], int)
        return [_name_value(type_.element, element, depth) for element in value[2:]] if is_list else value
    pairs = value[3] if len(value) > 3 else None  # noqa: PLR2004, ["TYPE", "TYPE", COUNT, {KEY: VALUE}]
    if not isinstance(pairs, dict):
        return value
    return {key: _name_value(type_.element, element, depth) for key, element in pairs.items()}


def pick_texts(version: str, body: bytes, rejected: Sequence[dict[str, Any]]) -> list[str]:
    """Return the texts of the events that an answer names by their index; nothing if they cannot be told."""
    texts = split_body(version, body)
    return [texts[fault["index"]] for fault in rejected if fault["index"] < len(texts)]
