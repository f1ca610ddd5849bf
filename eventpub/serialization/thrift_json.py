r"""Thrift struct -> Thrift JSON, byte for byte what thrift's own `TJSONProtocol` writes.

| Thrift                    | JSON                                                                           |
|---------------------------|--------------------------------------------------------------------------------|
| struct, union, exception  | `{"ID":{"TYPE":VALUE},…}` in the order of `thrift_spec`, unset fields left out |
| list, set                 | `["TYPE",N,VALUE,…]`                                                           |
| map                       | `["KEY TYPE","VALUE TYPE",N,{KEY:VALUE,…}]`, numbers as keys quoted            |
| bool                      | `1` for True itself, `0` for anything else but None                            |
| i8, i16, i32, i64, double | a number; a double with 17 significant digits, `nan` and `inf` bare            |
| string                    | UTF-8; `"` `\` \b \f \n \r \t escaped, other control characters as they are    |
| binary, uuid              | a string: base64, and the 36 usual characters                                  |

A float in an integer field is written as it is: baseplate's documentation sends `time.time() * 1000` as an
i64. What thrift would write as invalid JSON, or cannot write at all, is refused.

This covers everything that thrift writes as valid JSON. For values it cannot write, see `thrift_repair`.
"""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING, Any

from .thrift_repair import repair_struct
from .thrift_writers import writers
from .unwritable import type_name

if TYPE_CHECKING:
    from collections.abc import Callable

_ESCAPE = re.compile(r"\\(?:u00([0-9a-f]{2})|.)")


def serialize_v2_event(struct: Any, *, default: Callable[[Any], Any] | None = None) -> bytes:
    """Serialize a Thrift struct, such as `eventpub.schemas.event.ttypes.Event`, as Thrift JSON.

    A value that is not of its field's type costs that value, and not the event.

    Args:
        struct: it.
        default: called with a value of the application's own class that is not of its field's type; it returns
            one that is, or raises TypeError to leave it to us.

    Raises:
        EventSerializationError: a required field is unset, or `struct` is none.
        UnwritableValueError: values are strict, as in tests, and one is not of its field's type.
    """
    try:
        text = writers[struct.__class__](struct)
        if "\\" in text and "\\u00" in text:
            text = _escape_like_thrift(text)
        return text.encode()
    except Exception as error:  # noqa: BLE001, a value may raise anything when it is read
        return _escape_like_thrift(repair_struct(struct, error, default)).encode()


def _escape_like_thrift(text: str) -> str:
    """Return JSON with control characters as they are: encode_basestring escapes them, thrift does not."""
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else escape[0], text)


def show_value(value: object) -> str:
    """Return a repr for an error message: at most 200 characters; never fails."""
    try:
        return reprlib.repr(value)[:200]
    except Exception:  # noqa: BLE001, a value may raise anything, and so does an int of more digits than Python prints
        return f"<{type_name(value)}>"
