"""Events that are JSON objects: of version 2j, and of version 2 where a key's schema is `any`.

They are checked and then stored as the very text that came: numbers digit for digit, and keys in their order,
even where one is there twice.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from eventpub import wire
from eventpub.serialization.thrift_json import show_value
from eventpub.serialization.thrift_json_decode import load_json
from eventpub.serialization.thrift_plain import make_plain

from .form import Limits, Reading
from .rows import UnwritableError, make_row, write_json

if TYPE_CHECKING:
    from collections import Counter

    from eventpub.collector.store import EventRow

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what msgspec may refuse a text with

_texts = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, Any])


class ObjectForm:
    """Version 2j: an object of any kind, whose main fields are found by their names."""

    def read(self, array: bytes, limits: Limits, unknown: Counter[str]) -> Reading:  # noqa: ARG002, it knows all
        """Take a JSON array of events apart, as `Form` says."""
        try:
            texts = split_array(array)
        except UNDECODABLE:
            documents = wire.unwrap("2j", json.loads(str(array, "utf-8")))
            return Reading(len(documents), (_read_document(document, limits) for document in documents))
        return Reading(len(texts), (self._read_text(text, limits) for text in texts))

    def _read_text(self, text: str, limits: Limits) -> EventRow | str:
        try:
            plain = _object.decode(text)
        except UNDECODABLE:
            return _read_document(json.loads(text), limits)
        return _keep(plain, text, limits)


class AnyForm:
    """Version 2 under the schema `any`: Thrift JSON as it came, whatever struct it is; no main field is known.

    Where it is not JSON, since thrift writes control characters as they are, and bare `nan` and `inf`, the JSON
    that it means is stored.
    """

    def read(self, array: bytes, limits: Limits, unknown: Counter[str]) -> Reading:  # noqa: ARG002, it knows none
        """Take a JSON array of events apart, as `Form` says."""
        try:
            texts = split_array(array)
        except UNDECODABLE:
            documents: Any = load_json(array)
            return Reading(len(documents), (_read_struct(document, limits) for document in documents))
        return Reading(len(texts), (self._read_text(text, limits) for text in texts))

    def _read_text(self, text: str, limits: Limits) -> EventRow | str:
        if not text.startswith("{"):
            return _read_struct(json.loads(text), limits)
        return _keep({}, text, limits)


def split_array(array: bytes) -> list[str]:
    """Return the text of each element of a JSON array.

    Raises:
        Exception: one of `UNDECODABLE`; Python's decoder may take it all the same, or say better what is wrong.
    """
    return [bytes(text).decode() for text in _texts.decode(array)]


def _read_document(document: object, limits: Limits) -> EventRow | str:
    """Read an event that Python takes and msgspec does not, such as one with a number that is not finite."""
    if not isinstance(document, dict):
        return f"event: expected an object, not {show_value(document)}"
    try:
        return make_row(document, write_json(document), limits.max_event_bytes)
    except UnwritableError as error:
        return str(error)


def _read_struct(document: object, limits: Limits) -> EventRow | str:
    if not isinstance(document, dict):
        return f"event: expected an object, not {show_value(document)}"
    try:
        return make_row({}, write_json(make_plain(document)), limits.max_event_bytes)
    except UnwritableError as error:
        return str(error)


def _keep(plain: dict[str, Any], text: str, limits: Limits) -> EventRow | str:
    try:
        return make_row(plain, text, limits.max_event_bytes)
    except UnwritableError as error:
        return str(error)
