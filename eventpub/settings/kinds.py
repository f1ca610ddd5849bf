"""What a setting may be: how its text becomes a value, and in words what is allowed."""

from __future__ import annotations

import base64
import binascii
import configparser
import dataclasses
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
N = TypeVar("N", int, float)

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_BYTE_UNITS = {
    "": 1,
    "B": 1,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
_SECOND_UNITS = {"": 1.0, "S": 1.0, "MS": 0.001, "MIN": 60.0, "H": 3600.0, "D": 86400.0}


@dataclasses.dataclass(frozen=True)
class Kind(Generic[T]):
    """How the text of a setting becomes its value, and in words what is allowed.

    `parse` raises ValueError for anything else; errors show `allowed`, not its message.
    """

    parse: Callable[[str], T]
    allowed: str


def text(allowed: str = "a text", pattern: str = r".+") -> Kind[str]:
    """Text that matches `pattern` as a whole."""
    compiled = re.compile(pattern)

    def parse(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError
        return value

    return Kind(parse, allowed)


def queue_name() -> Kind[str]:
    """A valid queue name."""
    return text("letters, digits, dots, dashes and underscores", r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


def choice(*options: str) -> Kind[str]:
    """One of a few words, in upper or lower case."""
    as_written = {option.lower(): option for option in options}

    def parse(value: str) -> str:
        if value.lower() not in as_written:
            raise ValueError
        return as_written[value.lower()]

    return Kind(parse, "one of " + ", ".join(options))


def integer(minimum: int, maximum: int) -> Kind[int]:
    """A whole number in a range."""

    def parse(value: str) -> int:
        return _in_range(_parse_digits(value), minimum, maximum)

    return Kind(parse, f"a whole number from {minimum:,} to {maximum:,}")


def size(minimum: int, maximum: int) -> Kind[int]:
    """A number of bytes, with or without a unit: `512000`, `500 KiB`, `1 GiB`."""

    def parse(value: str) -> int:
        return _in_range(int(_parse_quantity(value, _BYTE_UNITS)), minimum, maximum)

    return Kind(parse, f"bytes, or a number with KiB, MiB or GiB, from {minimum:,} to {maximum:,} bytes")


def seconds(minimum: float, maximum: float) -> Kind[float]:
    """A duration in seconds, with or without a unit: `1`, `500 ms`, `5 min`."""

    def parse(value: str) -> float:
        return _in_range(_parse_quantity(value, _SECOND_UNITS), minimum, maximum)

    return Kind(
        parse, f"seconds, or a number with ms, s, min, h or d, from {minimum:,.12g} to {maximum:,.12g} seconds"
    )


def boolean() -> Kind[bool]:
    """Yes or no, in the words that configparser accepts."""

    def parse(value: str) -> bool:
        try:
            return configparser.RawConfigParser.BOOLEAN_STATES[value.lower()]
        except KeyError:
            raise ValueError from None

    return Kind(parse, "yes or no")


def base64_bytes() -> Kind[bytes]:
    """Bytes written as base64; at least one."""

    def parse(value: str) -> bytes:
        try:
            decoded = base64.b64decode("".join(value.split()), validate=True)
        except binascii.Error:
            raise ValueError from None
        if not decoded:
            raise ValueError
        return decoded

    return Kind(parse, "a secret in base64 (make one with: head -c 32 /dev/urandom | base64)")


def file_mode() -> Kind[int]:
    """Permission bits in octal, as for chmod."""

    def parse(value: str) -> int:
        return _in_range(_parse_digits(value, base=8), 0, 0o777)

    return Kind(parse, "an octal file mode such as 0600 or 0620")


def path(*, is_absolute: bool = False) -> Kind[Path]:
    """A file or folder, optionally only an absolute one; `~` is the user's home."""

    def parse(value: str) -> Path:
        if not value or "\0" in value:
            raise ValueError
        try:
            path_ = Path(value).expanduser()
        except RuntimeError:  # ~nobody-of-that-name
            raise ValueError from None
        if is_absolute and not path_.is_absolute():
            raise ValueError
        return path_

    return Kind(parse, "an absolute path, from / or ~" if is_absolute else "a path")


def _parse_digits(value: str, base: int = 10) -> int:
    if not value.isascii() or "_" in value:  # int() accepts the digits of every script
        raise ValueError
    return int(value, base)


def _parse_quantity(value: str, units: Mapping[str, float]) -> float:
    match = _QUANTITY.fullmatch(value.strip())
    if not match or match[2].upper() not in units:
        raise ValueError
    number = float(match[1]) * units[match[2].upper()]
    if math.isinf(number):  # 400 digits: int() of it does not raise ValueError
        raise ValueError
    return number


def _in_range(value: N, minimum: N, maximum: N) -> N:
    if not minimum <= value <= maximum:
        raise ValueError
    return value
