"""Plain event -> row: its main fields in columns, wherever they have the names and the types of these."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from eventpub.collector.store import EventRow

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_COLUMN_CHARACTERS = 256  # of a main field; the whole of it is in the event

_SQLITE_INTEGERS = range(-(2**63), 2**63)

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class UnwritableError(Exception):
    """An event cannot be stored; the message says why."""


def write_json(plain: Any) -> str:
    """Return an event as it is stored.

    Raises:
        UnwritableError: JSON or UTF-8 has no form for it.
    """
    try:
        text = _encode(plain)
        text.encode()
    except UnicodeEncodeError:
        raise UnwritableError("a text holds half of a surrogate pair, which UTF-8 cannot write") from None
    except (ValueError, RecursionError) as error:
        raise UnwritableError(f"cannot be written as JSON: {error}") from None
    return text


def make_row(plain: Mapping[str, Any], text: str, max_bytes: int) -> EventRow:
    """Return the row of an event.

    Args:
        plain: the event as a JSON object.
        text: the same as it is stored.
        max_bytes: how many bytes the text may have.

    Raises:
        UnwritableError: it has more.
    """
    check_size(len(text.encode()), max_bytes)
    user = plain.get("user")
    return EventRow(
        source=fit_text(plain.get("source")),
        action=fit_text(plain.get("action")),
        noun=fit_text(plain.get("noun")),
        name=fit_text(plain.get("name")),
        client_timestamp=fit_number(plain.get("client_timestamp")),
        uuid=fit_text(plain.get("uuid")),
        correlation_id=fit_text(plain.get("correlation_id")),
        user_id=fit_text(user.get("id") if isinstance(user, dict) else plain.get("user_id")),
        event=text,
    )


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raise UnwritableError for an event that is too large."""
    if size_bytes > max_bytes:
        raise UnwritableError(f"takes {size_bytes:,} bytes, more than {max_bytes:,}")


def fit_text(value: object) -> str | None:
    """Return what a column of text takes of a value."""
    return value[:MAX_COLUMN_CHARACTERS] if isinstance(value, str) else None


def fit_number(value: Any) -> float | None:
    """Return what a column of numbers takes of a value."""
    is_number = value.__class__ is float or (value.__class__ is int and value in _SQLITE_INTEGERS)
    return value if is_number else None
