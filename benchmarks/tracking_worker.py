"""Times `Tracker.emit` in one interpreter: run as `python -m benchmarks.tracking_worker SIDE EMITS`.

SIDE is `eventpub` or `event-tracking`. Prints a JSON object: for each kind of event the microseconds of an emit
and what the backend got.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from statistics import median
from time import perf_counter_ns
from typing import Any

ROUNDS = 15
REQUEST = {"path": "/cart/checkout", "user_id": 71, "session": "2b7e", "agent": "Mozilla/5.0"}
COURSE = {"course_id": "course-v1:demo+2026", "org_id": "demo"}
DATA: dict[str, dict[str, Any]] = {
    "flat 5-field event": {"order": 812, "currency": "EUR", "total": 12.5, "coupon": None, "first": True},
    "nested 15-field event": {
        "order": 812,
        "currency": "EUR",
        "total": 31.5,
        "items": [{"sku": "tea-1", "n": 2, "price": 8.5}, {"sku": "cup-3", "n": 1, "price": 14.5}],
        "ship": {"city": "Ghent", "zip": "9000", "lines": ["Coupure 1", "bus 2"]},
        "tags": ["gift", "autumn"],
    },
}


class Last:
    """A backend that keeps the last event."""

    only_reads = True
    event: Any = None

    def send(self, event: Any) -> None:
        """Keep one event."""
        self.event = event


def add_host(event: dict[str, Any]) -> None:
    """Change the event in place."""
    event["context"]["host"] = "app-1"


def rename(event: dict[str, Any]) -> dict[str, Any]:
    """Return another event."""
    return {**event, "name": f"demo.{event['name']}"}


def main(side: str, emits: int) -> None:
    # one of the two is installed
    if side == "event-tracking":
        from eventtracking.tracker import Tracker  # type: ignore[import-not-found]  # noqa: PLC0415
    else:
        from eventpub.tracking import Tracker  # noqa: PLC0415
    last = Last()
    tracker = Tracker(backends={"last": last}, processors=[add_host, rename])
    results = {}
    with tracker.context("request", REQUEST), tracker.context("course", COURSE):
        for kind, data in DATA.items():
            rounds_us = []
            for _ in range(ROUNDS):
                started = perf_counter_ns()
                for _ in range(emits):
                    tracker.emit("order.placed", data)
                rounds_us.append((perf_counter_ns() - started) / emits / 1000)
            if last.event.pop("timestamp").utcoffset() != timedelta(0):
                raise RuntimeError(f"{side} stamps its events with a time that is not UTC")
            results[kind] = {"us": median(rounds_us), "event": json.dumps(last.event, sort_keys=True)}
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
