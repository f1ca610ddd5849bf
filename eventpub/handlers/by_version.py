"""Event -> bytes in the format of a version of the wire."""

from __future__ import annotations

from typing import Any

from eventpub.event.to_v2 import to_v2_event
from eventpub.serialization.serialize import serialize_json_event, serialize_v2_event


def serialize_as(version: str, event: Any) -> bytes:
    """Return an event as plain JSON for version "2j", as Thrift JSON for "2"; other events are converted.

    Raises:
        EventSerializationError: the event cannot be written in that format.
    """
    return serialize_v2_event(to_v2_event(event)) if version == "2" else serialize_json_event(event)
