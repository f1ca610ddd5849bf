"""Events as people read them: by field names where the schema is known, and as they came otherwise.

The sidecar never looks into an event, so it does not know its schema: `--schema` names it, and by default it is
the one in `schemas/`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from eventpub.serialization.errors import StructClassError
from eventpub.serialization.struct_class import ANY, DEFAULT_SCHEMA, load_struct_class
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_names import is_by_ids, name_fields, number_fields
from eventpub.serialization.thrift_plain import UnknownFields


def add_schema(parser: argparse.ArgumentParser) -> None:
    """Declare `--schema`, whose value is a struct class, or None for `any`."""
    parser.add_argument(
        "--schema",
        type=_parse_schema,
        default=DEFAULT_SCHEMA,
        metavar="MODULE:CLASS",
        help=f"struct class of version 2 events, or {ANY} for none (default: {DEFAULT_SCHEMA})",
    )


def _parse_schema(text: str) -> type | None:
    try:
        return None if text == ANY else load_struct_class(text)
    except StructClassError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def name_event(event: bytes, schema: type | None, version: str | None = None) -> Any:
    """Return an event as a JSON value, by field names if it is a struct and its schema is known.

    Args:
        event: the message.
        schema: the struct class of version 2 events; None leaves them as they came.
        version: of the wire; None decides by the event's looks.

    Raises:
        ValueError: it is not JSON.
    """
    document = load_json(event)
    if schema is not None and version != "2j" and is_by_ids(document):
        return name_fields(schema, document)
    return document


def write_event(edited: Any, schema: type | None, version: str | None) -> bytes:
    """Return the message for an event that a person has edited, once it is valid.

    Args:
        edited: the JSON value, by field names, or by ids as they came.
        schema: the struct class that a version 2 event must be; None for any.
        version: of the wire; None and an event by names means 2j.

    Raises:
        ValueError: it is not a JSON object, or cannot be written as one.
        DecodeError: it is not a struct of the schema.
    """
    if not isinstance(edited, dict):
        raise ValueError("an event is a JSON object: {…}")  # noqa: TRY004, json raises no other
    if version == "2":
        if schema is not None:
            edited = edited if is_by_ids(edited) else number_fields(schema, edited)
            decode_struct(schema, edited, UnknownFields())
        elif not is_by_ids(edited):
            raise ValueError('a version 2 event looks like {"1": {"str": "…"}}; its names need --schema')
    return json.dumps(edited, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
