"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_SECONDS = 20.0  # generous: a condition that is ever met is met at once, however busy the machine


def wait_until(condition: Callable[[], T], what: str, deadline_seconds: float = DEADLINE_SECONDS) -> T:
    """Return the first true value of `condition`, or fail when the deadline passes."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {deadline_seconds} s: {what}"
        time.sleep(0.01)
