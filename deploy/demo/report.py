"""What the clients were told against what the store has: the table at the end of the demo."""

# ruff: noqa: INP001, a script beside run.py

from __future__ import annotations

import contextlib
import re
import sqlite3
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Report:
    """The numbers, and what is wrong with them."""

    rows: Sequence[tuple[str, str]]
    faults: Sequence[str]

    def __str__(self) -> str:
        width = max(len(value) for _, value in self.rows)
        lines = [f"  {name:34} {value:>{width}}" for name, value in self.rows]
        return "\n".join([*lines, *(f"  NOT AS IT SHOULD BE: {fault}" for fault in self.faults)])


def make(folder: Path) -> Report:
    """Read what the processes left in `folder`: answers, times, the sidecar's ledger, the store."""
    answers = [line.split() for path in folder.glob("client-*.log") for line in path.read_text().splitlines()]
    recorded = {uuid for uuid, outcome in answers if outcome == "recorded"}
    stored, seconds = read_store(folder / "events.sqlite")
    ledger = read_ledger(folder / "sidecar.log")
    put_ns = array("q", b"".join(path.read_bytes() for path in folder.glob("shop-*.times")))
    faults = {
        "lost": len(recorded - stored.keys()),
        "stored more than once": sum(count - 1 for count in stored.values()),
        "stored though refused": len(stored.keys() - recorded),
        "dead letters": ledger["dead"],
        "dropped by the sidecar": ledger["dropped"],
        "missing in its ledger": ledger["unaccounted"],
    }
    return Report(
        rows=[
            ("requests answered", f"{len(answers):,}"),
            ("events put", f"{len(recorded):,}"),
            ("refused, the queue was full", f"{len(answers) - len(recorded):,}"),
            ("delivered by the sidecar", f"{ledger['delivered']:,}"),
            ("stored by the collector", f"{sum(stored.values()):,}"),
            ("lost", f"{faults['lost']:,}"),
            ("stored more than once", f"{faults['stored more than once']:,}"),
            ("put, median", f"{percentile(put_ns, 50) / 1000:,.0f} µs"),
            ("put, 99 of 100 within", f"{percentile(put_ns, 99) / 1000:,.0f} µs"),
            ("from put to the store, median", f"{percentile(seconds, 50):,.2f} s"),
            ("from put to the store, 99 of 100", f"{percentile(seconds, 99):,.2f} s"),
        ],
        faults=[f"{count:,} events: {what}" for what, count in faults.items() if count],
    )


def read_store(path: Path) -> tuple[Counter[str], list[float]]:
    """Return how often each event is stored, and the seconds from its `put` to its arrival."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        rows = store.execute("SELECT uuid, received_at - client_timestamp / 1000.0 FROM events").fetchall()
    return Counter(uuid for uuid, _ in rows), [seconds for _, seconds in rows]


def read_ledger(log: Path) -> dict[str, int]:
    """Return the books that the sidecar wrote to its log when it stopped."""
    *_, last = re.findall(r" stopped (received=.*)", log.read_text())
    return {name: int(count) for name, count in re.findall(r"(\w+)=(-?\d+)", last)}


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of 100 do not exceed."""
    return sorted(values)[len(values) * percent // 100]
