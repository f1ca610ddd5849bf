"""What `Tracker.emit` costs through two processors and one backend, event-tracking's and ours.

Both run the same processors and the same backend over the same data, inside two contexts, and what the backend
got is compared. Of several processes in turn the fastest counts: whatever else the machine does only ever adds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

from benchmarks.machine import MEASURED_CORE, ROOT, pinned
from benchmarks.report import Row, ratio

GOAL = 2.0  # times less than event-tracking's
KINDS = ("flat 5-field event", "nested 15-field event")


def rows(peers_python: str, *, quick: bool) -> list[Row]:
    """Measure and return the table's rows."""
    pythons = {"event-tracking": peers_python, "eventpub": sys.executable}
    us: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(3 if quick else 11):
        results = {side: _run(python, side) for side, python in pythons.items()}
        for kind in KINDS:
            if len({result[kind]["event"] for result in results.values()}) != 1:
                raise RuntimeError(f"the two make different events of the {kind}: {results}")
            for side, result in results.items():
                us[side, kind].append(result[kind]["us"])
    return [_row(kind, min(us["event-tracking", kind]), min(us["eventpub", kind])) for kind in KINDS]


def _run(python: str, side: str) -> dict[str, Any]:
    with pinned(MEASURED_CORE):
        output = subprocess.check_output([python, "-m", "benchmarks.tracking_worker", side, "2000"], cwd=ROOT)
    results: dict[str, Any] = json.loads(output)
    return results


def _row(kind: str, peer_us: float, our_us: float) -> Row:
    return ratio(
        f"Tracker.emit of the {kind} (event-tracking)",
        peer_us / our_us,
        GOAL,
        peer=f"{peer_us:.1f} us",
        eventpub=f"{our_us:.2f} us",
    )
