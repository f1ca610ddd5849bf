"""What `Redact` and `Hash` cost on a tracked event of 19 fields in five dicts, of which three match.

The fastest of many short rounds counts: whatever else the machine does only ever adds.
"""

from __future__ import annotations

from datetime import datetime, timezone
from time import perf_counter_ns
from typing import Any

from benchmarks.machine import MEASURED_CORE, pinned
from benchmarks.report import Row
from eventpub.tracking import Hash, Redact

GOAL_US = 5.0
EVENTS = 100


def rows(*, quick: bool) -> list[Row]:
    """Measure and return the table's row."""
    guards = [Redact("card", "*.password"), Hash("email", key=b"a key of thirty-two bytes and more")]
    with pinned(MEASURED_CORE):
        best_us = min(_time(guards) for _ in range(50 if quick else 500))
    met = "met" if best_us <= GOAL_US else "MISSED"
    return [Row("Redact and Hash of three fields", "", f"{best_us:.1f} us", "", f"<= {GOAL_US:g} us", met)]


def _time(guards: list[Any]) -> float:
    events = [_make_event() for _ in range(EVENTS)]
    started = perf_counter_ns()
    for event in events:
        for guard in guards:
            guard(event)
    return (perf_counter_ns() - started) / EVENTS / 1000


def _make_event() -> dict[str, Any]:
    return {
        "name": "shop.order.paid",
        "timestamp": datetime.now(timezone.utc),
        "data": {"order": 812, "card": "4111", "total": 12.5, "currency": "EUR"},
        "context": {
            "user": {"id": 7, "email": "ann@example.com", "password": "x"},
            "path": "/pay",
            "request": {
                "id": "7f3a2b",
                "method": "POST",
                "host": "shop.example.com",
                "path": "/pay",
                "user_agent": "Mozilla/5.0",
                "client_address": "192.0.2.7",
            },
        },
    }
