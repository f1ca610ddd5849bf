"""Values of Thrift's simple types -> their Thrift JSON; see `thrift_json`.

Each raises UnfitError, TypeError or ValueError, with what was expected, for a value that thrift would write as
invalid JSON or cannot write at all.
"""

from __future__ import annotations

import binascii
import operator
from collections.abc import Callable, Collection, Mapping
from json.encoder import encode_basestring
from typing import Any

from .thrift_spec import INTEGER_BITS
from .unwritable import UnfitError


def write_boolean(value: Any) -> str:
    """Return the text of a bool: `1` for True itself, `0` for anything else but None."""
    if value is None:
        raise UnfitError("expected a bool")
    return "1" if value is True else "0"


def integer_writer(bits: int) -> Callable[[Any], str]:
    """Return the writer of integers of so many bits; a float is written as it is."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def write(value: Any) -> str:
        if isinstance(value, bool):
            raise UnfitError("a bool is not a number; use int(value)")
        number = float(value) if isinstance(value, float) else int(operator.index(value))
        if not low <= number <= high:
            raise UnfitError(f"an i{bits} takes {low:,} to {high:,}")
        return repr(number)

    return write


def write_double(value: Any) -> str:
    """Return the text of a double, with 17 significant digits."""
    if not hasattr(value, "__float__"):  # float() alone would parse text
        raise UnfitError("expected a number")
    return f"{float(value):.17g}"


def write_base64(value: Any) -> str:
    """Return the text of a binary."""
    return f'"{binascii.b2a_base64(value, newline=False).decode()}"'


def uuid_text(value: Any) -> str:
    """Return the text of a UUID, given as one or as text."""
    import uuid  # noqa: PLC0415, rare, and Python 3.10 loads subprocess with it

    if not isinstance(value, (uuid.UUID, str)):
        raise UnfitError("expected a uuid.UUID")
    uuid.UUID(str(value))  # thrift writes any text; one that is not a UUID could not be read
    return encode_basestring(str(value))


def take_items(value: Any) -> Any:
    """Return a list, a tuple or a set as it is."""
    if not isinstance(value, Collection) or isinstance(value, (str, bytes, bytearray, Mapping)):
        raise UnfitError("expected a list, a tuple or a set")
    return value


def take_mapping(value: Any) -> Any:
    """Return a mapping as it is."""
    if not isinstance(value, Mapping):
        raise UnfitError("expected a dict")
    return value


NUMBERS = {
    "tf": write_boolean,
    "dbl": write_double,
    **{name: integer_writer(bits) for name, bits in INTEGER_BITS.items()},
}
