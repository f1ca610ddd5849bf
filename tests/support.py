"""What several test files share: deadlines, and what a machine may lack."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

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


def baseplate_python() -> str:
    """Return the interpreter that has the real baseplate; without it, skip the test, or fail it in CI."""
    python = os.environ.get("EVENTPUB_BASEPLATE_PYTHON", "")
    if not python:
        assert "CI" not in os.environ, "make test sets EVENTPUB_BASEPLATE_PYTHON"
        pytest.skip("EVENTPUB_BASEPLATE_PYTHON is no python with baseplate; make test makes one")
    return python
