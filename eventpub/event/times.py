"""The times of an event: seconds since the epoch, in whole microseconds, and the dates they are written as."""

from __future__ import annotations

import datetime as dt
import time


def read_clock() -> float:
    """Return the time of day in seconds since the epoch, with the digits that a date keeps."""
    return time.time_ns() // 1000 / 1e6


def write_date(value: float | str | None) -> float | str | None:
    """Return seconds since the epoch as ISO 8601 in UTC, and anything else as it is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return dt.datetime.fromtimestamp(value, dt.timezone.utc).isoformat()
        except (ValueError, OverflowError, OSError):  # not a time that a calendar has
            pass
    return value


def read_date(text: str) -> float | None:
    """Return a date as seconds since the epoch; None for anything else."""
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
