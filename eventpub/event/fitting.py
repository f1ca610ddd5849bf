"""A value of an event -> what a field of a Thrift type holds of it, or nothing where it does not fit."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from eventpub.serialization.thrift_spec import INTEGER_BITS

if TYPE_CHECKING:
    from eventpub.serialization.thrift_spec import Type

_MAX_BITS = 2_000  # digits of a number written as text; Python prints at least 640


def fit_value(kind: Type | None, value: Any) -> Any:
    """Return `value` as a field of that type holds it; None if it cannot, or there is no such field."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_whole = is_number and isinstance(value, int) and value.bit_length() < _MAX_BITS
    fitting: Any = None
    if kind is None:
        pass
    elif kind.leaf == "text":
        is_id = is_whole or isinstance(value, getattr(sys.modules.get("uuid"), "UUID", ()))
        fitting = value if isinstance(value, str) else str(int(value) if is_whole else value) if is_id else None
    elif kind.leaf == "tf":
        fitting = value if isinstance(value, bool) else None
    elif kind.leaf == "dbl":
        fitting = float(value) if is_number and fits_double(value) else None
    elif kind.leaf in INTEGER_BITS:
        half = 1 << (INTEGER_BITS[kind.leaf] - 1)
        fitting = value if is_whole and -half <= value < half else None
    elif isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        fitting = list(value)
    return fitting


def fits_double(number: float) -> bool:
    """Tell whether a double holds a number exactly."""
    try:
        return math.isfinite(number) and float(number) == number
    except OverflowError:
        return False
