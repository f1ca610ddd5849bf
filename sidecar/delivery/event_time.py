"""The own time of an event, for the delivery lag: that of the first event of a batch, once a batch."""

from __future__ import annotations

import json

_MAX_BYTES = 102_400  # of one event
_CLIENT_TIMESTAMP = "4"  # its field in Event of schemas/event.thrift
_MILLISECONDS = range(10**12, 10**13)  # since 1970: the years 2001 to 2286
_decode = json.JSONDecoder().raw_decode


def read_event_time(version: str, joined_events: bytes | memoryview) -> float:
    """Return when the first of some events says that it happened, in seconds since 1970; 0 if it does not say.

    That is `client_timestamp`, by its name in plain JSON or by its field's number in Thrift JSON.
    """
    try:
        event, _ = _decode(str(joined_events[:_MAX_BYTES], "ascii", "replace"))
        milliseconds = event["client_timestamp"] if version == "2j" else event[_CLIENT_TIMESTAMP]["i64"]
        is_time = type(milliseconds) is int and milliseconds in _MILLISECONDS
        return milliseconds / 1000 if is_time else 0.0
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError):  # any schema may stand here
        return 0.0
