"""ISO 8601 text -> datetime, as RFC 3339 and other languages write it, on every Python that we run on."""

from __future__ import annotations

import datetime as dt
import re

_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(?:([Zz])|([+-]\d{2}):?(\d{2})?)?", re.ASCII
)


def parse_time(text: str) -> dt.datetime:
    """Return the moment that a text names; without a time zone if it has none.

    Python 3.10 reads neither `Z`, nor `+0000`, nor fractions of other than three or six digits, and no Python
    reads `z`. Digits behind microseconds are left out.

    Raises:
        ValueError: it names none.
    """
    match = _MOMENT.fullmatch(text)
    if not match:
        return dt.datetime.fromisoformat(text)
    date, time, fraction, is_utc, hours, minutes = match.groups()
    zone = "+00:00" if is_utc else f"{hours}:{minutes or '00'}" if hours else ""
    return dt.datetime.fromisoformat(f"{date}T{time}.{(fraction or '')[:6]:0<6}{zone}")
