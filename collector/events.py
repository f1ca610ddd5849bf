"""Stage 7: plain, signed body -> the rows of its events, or which of them are wrong and why.

Version 2 events are structs of `schemas/event.thrift`, decoded and checked field by field; version 2j events
are JSON objects of any kind. An event that is not valid refuses the whole batch, by its index, so that the
sender can take it out and send the others.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from eventpub import wire
from eventpub.collector.store import EventRow
from eventpub.schemas.event.ttypes import Event
from eventpub.serialization.errors import DecodeError
from eventpub.serialization.thrift_json import show_value
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_plain import to_plain

from .responses import Response, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REJECTED_SHOWN = 100  # the rest is counted only, so that the answer stays small
MAX_COLUMN_CHARACTERS = 256  # of a main field; the whole of it is in the event

_CONTAINER_2 = re.compile(
    rb"""\s* \{ \s* "1" \s*:\s* \{ \s* "lst" \s*:\s* \[ \s* "rec" \s*,\s* ([0-9]{1,9}) \s*
        (?: ,(.*) )?
        \] \s* \} \s* \} \s*""",
    re.DOTALL | re.VERBOSE,
)
_SQLITE_INTEGERS = range(-(2**63), 2**63)

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def read_events(
    version: str, body: bytes, announced: str, *, max_events: int, max_event_bytes: int
) -> list[EventRow] | Response:
    """Return the rows of all events in `body`, or the refusal of all of them.

    Args:
        version: one of `wire.VERSIONS`.
        body: plain, and signed by somebody we know.
        announced: how many events the sender says it put in, as text; empty if it does not say.
        max_events: how many may be in one body.
        max_event_bytes: the most that one event may have as it is stored.
    """
    try:
        documents = _unwrap_body(version, body)
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too many digits, nested too deeply
        return refuse(400, "bad_body", f"the body cannot be read: {error}")
    if len(documents) > max_events:  # a body of 8 MiB has room for four million that are a digit each
        reason = f"the body holds {len(documents):,} events, more than {max_events:,}; send fewer at once"
        return refuse(413, "too_many_events", reason, limit_events=max_events)
    if announced not in ("", str(len(documents))):
        return refuse(
            422,
            "event_count_differs",
            f"{wire.COUNT_HEADER} says {announced[:20]} and the body holds {len(documents)} events: "
            "one of them is more than one, or less; smaller batches will tell which",
        )
    rows = []
    rejected = []
    for index, document in enumerate(documents):
        event = _read_event(version, document, max_event_bytes)
        if isinstance(event, EventRow):
            rows.append(event)
        else:
            rejected.append({"index": index, "reason": event})
    if rejected:
        return refuse(
            422,
            "invalid_events",
            f"{len(rejected)} of {len(documents)} events are not valid, so nothing of the batch was stored",
            rejected=rejected[:MAX_REJECTED_SHOWN],
            rejected_count=len(rejected),
        )
    return rows


def _unwrap_body(version: str, body: bytes) -> list[object]:
    """Return the documents of the events in a body.

    The events of a version 2 container are parsed apart from it: none of them can close it and open another, in
    which its neighbours are missing.
    """
    if version == "2j":
        return wire.unwrap(version, json.loads(str(body, "utf-8")))
    container = _CONTAINER_2.fullmatch(body)
    if container is None:
        return wire.unwrap(version, None)
    events: Any = load_json(b"[%s]" % (container[2] or b""))
    return wire.unwrap(version, {"1": {"lst": ["rec", int(container[1]), *events]}})


def _read_event(version: str, document: object, max_event_bytes: int) -> EventRow | str:
    """Return the row of an event, or why it is not valid."""
    try:
        plain = _PLAIN[version](document)
        text = _encode(plain)
        size_bytes = len(text.encode())
    except DecodeError as error:
        return str(error)
    except UnicodeEncodeError:
        return "a text holds half of a surrogate pair, which UTF-8 cannot write"
    except (ValueError, RecursionError) as error:
        return f"cannot be written as JSON: {error}"
    if size_bytes > max_event_bytes:
        return f"takes {size_bytes:,} bytes, more than {max_event_bytes:,}"
    return _build_row(plain, text)


def _plain_2(document: object) -> dict[str, Any]:
    return to_plain(decode_struct(Event, document))


def _plain_2j(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise DecodeError("event", f"expected an object, not {show_value(document)}")
    return document


_PLAIN = {"2": _plain_2, "2j": _plain_2j}


def _build_row(plain: Mapping[str, Any], text: str) -> EventRow:
    user = plain.get("user")
    timestamp = plain.get("client_timestamp")
    is_number = timestamp.__class__ is float or (timestamp.__class__ is int and timestamp in _SQLITE_INTEGERS)
    return EventRow(
        source=_fit_column(plain.get("source")),
        action=_fit_column(plain.get("action")),
        noun=_fit_column(plain.get("noun")),
        name=_fit_column(plain.get("name")),
        client_timestamp=timestamp if is_number else None,
        uuid=_fit_column(plain.get("uuid")),
        correlation_id=_fit_column(plain.get("correlation_id")),
        user_id=_fit_column(user.get("id") if isinstance(user, dict) else plain.get("user_id")),
        event=text,
    )


def _fit_column(value: object) -> str | None:
    return value[:MAX_COLUMN_CHARACTERS] if isinstance(value, str) else None
