"""What `EventManager.send_event` costs with two handlers, e3-core's and ours.

Both have the same two handlers, which keep the event and return True, and send events of the same data. What
the handlers got is compared, but for ids and times. Of several processes in turn the fastest counts: whatever
else the machine does only ever adds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

from benchmarks.machine import MEASURED_CORE, ROOT, pinned
from benchmarks.report import Row, ratio

GOALS = {"send_event": 2.0, "making, closing, sending and reading an event": None}  # times less than e3-core's


def rows(peers_python: str, *, quick: bool) -> list[Row]:
    """Measure and return the table's rows."""
    pythons = {"e3-core": peers_python, "eventpub": sys.executable}
    us: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(3 if quick else 11):
        results = {side: _run(python, side) for side, python in pythons.items()}
        if len({json.dumps(result["sent"]) for result in results.values()}) != 1:
            raise RuntimeError(f"the two send different events: {results}")
        for side, result in results.items():
            for kind, value in result["us"].items():
                us[side, kind].append(value)
    floor = f" (two handlers; called straight: {min(us['eventpub', 'floor']):.2f} us)"
    return [
        _row(kind + floor, goal, min(us["e3-core", kind]), min(us["eventpub", kind]))
        for kind, goal in GOALS.items()
    ]


def _run(python: str, side: str) -> dict[str, Any]:
    with pinned(MEASURED_CORE):
        output = subprocess.check_output([python, "-m", "benchmarks.handlers_worker", side, "5000"], cwd=ROOT)
    results: dict[str, Any] = json.loads(output)
    return results


def _row(kind: str, goal: float | None, peer_us: float, our_us: float) -> Row:
    return ratio(
        f"e3-core: {kind}",
        peer_us / our_us,
        goal,
        peer=f"{peer_us:.2f} us",
        eventpub=f"{our_us:.2f} us",
    )
