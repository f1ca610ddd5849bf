"""What others give to an `EventQueue`, made plain: serializers, what they return and raise, timeouts."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from eventpub.serialization.serialize import serialize_event
from eventpub.serialization.thrift_json import show_value
from eventpub.serialization.unwritable import type_name

if TYPE_CHECKING:
    from collections.abc import Callable

Message: TypeAlias = "bytes | bytearray | str"  # what a serializer may return; text is encoded as UTF-8


def choose_serializer(
    given: Callable[..., Message] | None, default: Callable[[Any], Any] | None
) -> Callable[..., Message]:
    """Return the serializer of a queue, which is told of `default` where that is given.

    Raises:
        TypeError: what was given is not a function.
    """
    if given is not None and not callable(given):
        raise TypeError(f"event_serializer is {given!r}: give a function such as serialize_v2_event")
    serialize = given or serialize_event
    return partial(serialize, default=default) if default else serialize


def read_timeout(timeout: Any) -> float:
    """Return seconds as a plain float, endless ones for a number that no float can hold.

    Raises:
        ValueError: it is not a number of seconds.
    """
    seconds = math.nan
    if issubclass(type(timeout), float):
        seconds = float.__add__(timeout, 0.0)
    elif issubclass(type(timeout), int):
        try:
            seconds = int.__float__(timeout)
        except OverflowError:
            seconds = math.inf if int.__gt__(timeout, 0) else math.nan
    if not seconds >= 0:  # NaN is not
        raise ValueError(f"timeout is {show_value(timeout)}: give seconds, 0 or more; leave it out not to wait")
    return seconds


def encode_message(message: Any) -> bytes:
    """Return as bytes what a serializer returned.

    Raises:
        TypeError, ValueError: it is none of `Message`; the text completes "it returned".
    """
    kind = type(message)  # and not its __class__, which may say anything
    if issubclass(kind, (bytes, bytearray)):
        return bytes(memoryview(message))
    if not issubclass(kind, str):
        raise TypeError(f"{type_name(message)}, not bytes")
    try:
        return str.encode(message)
    except UnicodeEncodeError as exc:
        raise ValueError(f"text that cannot be encoded as UTF-8 (character {exc.start})") from exc


def show_error(error: BaseException) -> str:
    """Return what an exception says, or that it fails to."""
    try:
        return str.__str__(str(error))  # a plain one, should it be of a class derived from str
    except Exception:  # noqa: BLE001, third-party code
        return "its text cannot be read"
