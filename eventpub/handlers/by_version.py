"""Event -> bytes, as collectors of a version of the wire take it."""

from __future__ import annotations

from typing import Any

from eventpub.event.to_v2 import to_v2_event
from eventpub.serialization.serialize import serialize_json_event, serialize_v2_event


def serialize_as(version: str, event: Any) -> bytes:
    """Return an event as JSON for version "2j", and for "2" as Thrift JSON, which others are turned into.

    Raises:
        EventSerializationError: it cannot be written so.
    """
    return serialize_v2_event(to_v2_event(event)) if version == "2" else serialize_json_event(event)
