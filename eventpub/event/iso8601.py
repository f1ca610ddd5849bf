"""ISO 8601 text -> datetime, in the forms of RFC 3339 and of other languages, on every supported Python."""

from __future__ import annotations

import datetime as dt
import re

_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(?:([Zz])|([+-]\d{2}):?(\d{2})?)?", re.ASCII
)


def parse_time(text: str) -> dt.datetime:
    """Return the datetime that a text names; naive if the text has no time zone.

    `datetime.fromisoformat` of Python 3.10 reads neither `Z`, nor `+0000`, nor fractions of other than three or
    six digits, and no Python reads `z`. Digits after the microseconds are dropped.

    Raises:
        ValueError: the text is not a date and time.
    """
    match = _MOMENT.fullmatch(text)
    if not match:
        return dt.datetime.fromisoformat(text)
    date, time, fraction, is_utc, hours, minutes = match.groups()
    zone = "+00:00" if is_utc else f"{hours}:{minutes or '00'}" if hours else ""
    return dt.datetime.fromisoformat(f"{date}T{time}.{(fraction or '')[:6]:0<6}{zone}")
