"""What `Processor.process` costs with ten handlers, evproc's and ours.

Both have the same handlers, which want events by names and filters and require each other, and get the same
events. Which handlers were called, in which order, is compared. Of several processes in turn the fastest
counts: whatever else the machine does only ever adds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

from benchmarks.machine import MEASURED_CORE, ROOT, pinned
from benchmarks.report import Row, ratio

GOAL = 2.0  # times less than evproc's


def rows(peers_python: str, *, quick: bool) -> list[Row]:
    """Measure and return the table's rows."""
    pythons = {"evproc": peers_python, "eventpub": sys.executable}
    us: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(3 if quick else 11):
        results = {side: _run(python, side) for side, python in pythons.items()}
        for kind in results["eventpub"]:
            if results["evproc"][kind]["calls"] != results["eventpub"][kind]["calls"]:
                raise RuntimeError(f"the two call different handlers for {kind}: {results}")
            for side, result in results.items():
                us[kind][side].append(result[kind]["us"])
    return [_row(kind, min(times["evproc"]), min(times["eventpub"])) for kind, times in us.items()]


def _run(python: str, side: str) -> dict[str, Any]:
    with pinned(MEASURED_CORE):
        output = subprocess.check_output([python, "-m", "benchmarks.processing_worker", side, "2000"], cwd=ROOT)
    results: dict[str, Any] = json.loads(output)
    return results


def _row(kind: str, peer_us: float, our_us: float) -> Row:
    return ratio(
        f"Processor.process of {kind} (evproc)",
        peer_us / our_us,
        GOAL,
        peer=f"{peer_us:.1f} us",
        eventpub=f"{our_us:.2f} us",
    )
