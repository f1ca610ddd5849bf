"""What `put` costs an application, through baseplate's EventQueue and through ours.

Both put the same events, of the same generated classes, on the same queue. It has the size that an untuned
kernel grants, and is emptied outside of the time measured. Of several processes in turn the fastest counts: at
this size whatever else the machine does only ever adds, and up to two thirds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from typing import Any

import posix_ipc

from benchmarks.machine import MEASURED_CORE, ROOT, pinned
from benchmarks.report import Row, ratio
from eventpub.wire import QUEUE_PREFIX

GOALS = {"5-field event": 9.0, "nested 15-field event": 12.0}  # times less than baseplate's


def rows(baseplate_python: str, *, quick: bool) -> list[Row]:
    """Measure and return the table's rows."""
    pythons = {"baseplate": baseplate_python, "eventpub": sys.executable, "floor": sys.executable}
    us: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    queue_name = f"bench{os.getpid()}"
    queue = posix_ipc.MessageQueue(
        QUEUE_PREFIX + queue_name, posix_ipc.O_CREX, max_messages=10, max_message_size=8192
    )
    try:
        for _ in range(3 if quick else 11):
            results = {side: _run(python, side, queue_name) for side, python in pythons.items()}
            for kind in GOALS:
                if len({result[kind]["serialized"] for result in results.values()}) != 1:
                    raise RuntimeError(f"the two serialize the {kind} differently: {results}")
                for side, result in results.items():
                    us[side, kind].append(result[kind]["us"])
    finally:
        queue.close()
        queue.unlink()
    return [_row(kind, goal, {side: min(us[side, kind]) for side in pythons}) for kind, goal in GOALS.items()]


def _run(python: str, side: str, queue_name: str) -> dict[str, Any]:
    with pinned(MEASURED_CORE):
        output = subprocess.check_output(
            [python, "-m", "benchmarks.put_worker", side, queue_name, "300"], cwd=ROOT
        )
    results: dict[str, Any] = json.loads(output)
    return results


def _row(kind: str, goal: float, us: dict[str, float]) -> Row:
    return ratio(
        f"put of the {kind} (bare system call: {us['floor']:.1f} us)",
        us["baseplate"] / us["eventpub"],
        goal,
        peer=f"{us['baseplate']:.1f} us",
        eventpub=f"{us['eventpub']:.2f} us",
    )
