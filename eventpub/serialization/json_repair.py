"""An event that JSON cannot write as it is -> one that it can: each bad value has a marker in its place.

Only events that the encoder has refused come here, so it may take its time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

from eventpub.errors import EventSerializationError

from .substitutes import substitute_by
from .unwritable import UnfitError, describe_type, free_key, give_up, reason_of, step_to

Default = Callable[[Any], Any]

_PLAIN = (str, int, float, NoneType)
_MAX_DEPTH = 200  # levels; the encoder stops at Python's 1,000 frames, and the application uses some of them
_NO_KEY = "it cannot be a key, which is text; convert it first"
_NOT_FINITE = "JSON has neither NaN nor infinities; leave it out, or give None or text"


def repair_event(event: Mapping[Any, Any], default: Default | None = None) -> dict[Any, Any]:
    """Return an event as JSON can write it, with markers for the values that it cannot.

    Raises:
        EventSerializationError: the event cannot even be read.
        UnwritableValueError: values are strict, and there is a bad one.
    """
    try:
        items = list(event.items())
    except Exception as error:  # noqa: BLE001, a mapping of the application's own
        raise EventSerializationError("event", describe_type(event), reason_of(error)) from None
    return _repair_items("", items, default, (id(event),))


def repair_text(path: str, text: str) -> str:
    """Return a text that UTF-8 can write: pairs of surrogates joined, and U+FFFD for lone ones, which count."""
    try:
        str.encode(text)
    except UnicodeEncodeError:
        give_up(
            path, text, "it holds lone surrogates, which are not characters; decode it with errors='replace'"
        )
        return str.encode(text, "utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def repair_value(path: str, value: Any, default: Default | None, around: tuple[int, ...] = ()) -> Any:
    """Return a value as JSON can write it; `around` are the ids of what it stands in."""
    kind = type(value)  # not its `__class__`: a proxy's is that of what it stands for
    try:
        if issubclass(kind, _PLAIN):
            return _repair_plain(path, value)
        within = _go_into(value, around)
        if issubclass(kind, dict):
            return _repair_items(path, list(value.items()), default, within)
        if issubclass(kind, (list, tuple)):
            items = enumerate(list(value))
            return [repair_value(f"{path}[{index}]", item, default, within) for index, item in items]
        return repair_value(path, substitute_by(default, value), default, within)
    except EventSerializationError:
        raise
    except UnfitError as refused:
        return give_up(path, value, str(refused))
    except Exception as error:  # noqa: BLE001, third-party code; RecursionError where there is little room
        return give_up(path, value, f"{reason_of(error)}; give something plain")


def _go_into(value: Any, around: tuple[int, ...]) -> tuple[int, ...]:
    if id(value) in around:
        raise UnfitError("it holds itself; leave that out")
    if len(around) > _MAX_DEPTH:
        raise UnfitError(f"it is nested more than {_MAX_DEPTH} deep; leave it out")
    return (*around, id(value))


def _repair_items(
    path: str, items: list[tuple[Any, Any]], default: Default | None, around: tuple[int, ...]
) -> dict[Any, Any]:
    repaired: dict[Any, Any] = {}
    for key, item in items:
        name = _repair_key(path, key, default)
        name = name if name is key else free_key(name, repaired)
        repaired[name] = repair_value(step_to(path, key), item, default, around)
    return repaired


def _repair_key(path: str, key: Any, default: Default | None) -> Any:
    """Return a key as JSON can write it: text, or a number, a bool or None, which the encoder makes text."""
    place = f"a key of {path or 'event'}"
    try:
        text = key if issubclass(type(key), _PLAIN) else substitute_by(default, key)
        if issubclass(type(text), _PLAIN):
            return _repair_plain(place, text)
        return give_up(place, key, _NO_KEY)
    except UnfitError:
        return give_up(place, key, _NO_KEY)
    except EventSerializationError:
        raise
    except Exception as error:  # noqa: BLE001, third-party code
        return give_up(place, key, reason_of(error))


def _repair_plain(path: str, value: Any) -> Any:
    if isinstance(value, str):
        return repair_text(path, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UnfitError(_NOT_FINITE)
    if isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:
            raise UnfitError("it has more digits than Python prints; leave it out") from None
    return value
