"""What others give to `EventQueue.put`, made plain: timeouts, what a serializer returns, what it raises."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from eventpub.serialization.thrift_json import show_value
from eventpub.serialization.unwritable import type_name

Message: TypeAlias = "bytes | bytearray | str"  # what a serializer may return; text is encoded as UTF-8


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
