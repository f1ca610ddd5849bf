"""What `import eventpub` adds to the start of an application, and what it drags in."""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median

from benchmarks.machine import ROOT
from benchmarks.report import Row, at_most

GOAL_MS = 60.0
UNWANTED = ("gevent", "requests", "sqlite3")

_OURS = "import eventpub"
_BASEPLATES = "import baseplate.lib.events"
_LOADED = f"import sys, eventpub; print(*[name for name in {UNWANTED} if name in sys.modules])"


def rows(baseplate_python: str, *, quick: bool) -> list[Row]:
    """Measure and return the table's rows."""
    ours: list[float] = []
    baseplates: list[float] = []
    for _ in range(5 if quick else 15):
        ours.append(_import_ms(sys.executable, _OURS))
        baseplates.append(_import_ms(baseplate_python, _BASEPLATES))
    loaded = subprocess.check_output([sys.executable, "-c", _LOADED], cwd=ROOT, text=True).split()
    return [
        at_most(_OURS, GOAL_MS, median(ours), "ms", peer=f"{median(baseplates):.0f} ms"),
        at_most(f"of {', '.join(UNWANTED)}: loaded by it", 0, len(loaded), "modules"),
    ]


def _import_ms(python: str, statement: str) -> float:
    """Return how much longer an interpreter takes that imports than one that does nothing."""
    return _run_ms(python, statement) - _run_ms(python, "pass")


def _run_ms(python: str, statement: str) -> float:
    """Return the CPU time of an interpreter: its running time, were nobody else on the machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, "-c", statement], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000
