"""What storing an event costs the collector, beside a yardstick: the least that any program would do.

The yardstick decodes each event by `json.loads` and inserts its row into a table with three indexes, a
transaction a batch, in this machine's SQLite. The collector does the same behind HTTP, gzip and a signature,
checks every field and remembers batch ids. Both have one core to themselves; what feeds the collector shares
another.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import requests

from benchmarks.collector_worker import BATCH_EVENTS, KEY, SECRET, make_bodies
from benchmarks.machine import FEEDING_CORE, MEASURED_CORE, ROOT, cpu_seconds, peak_mb, pinned, wait_until
from benchmarks.report import Row, at_most_times
from eventpub import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

COST_GOAL = 1.3  # times the yardstick
GROWTH_GOAL = 1.3  # times what an insert into a small table costs
LARGE_EVENTS = int(
    os.environ.get("EVENTPUB_LARGE_EVENTS", "2_000_000")
)  # 20,000,000 takes 10 GB and ten minutes
SMALL_EVENTS = LARGE_EVENTS // 20


def rows(*, quick: bool) -> list[Row]:
    """Measure and return the table's rows."""
    with tempfile.TemporaryDirectory(prefix="eventpub-bench-") as folder:
        return [_cost(Path(folder), quick=quick), *([] if quick else [_growth(Path(folder))])]


def _cost(folder: Path, *, quick: bool) -> Row:
    batches, rounds = (40, 2) if quick else (150, 5)
    yardstick_us, ours_us, per_second, memory = [], [], [], []
    for round_ in range(rounds):
        (folder / str(round_)).mkdir()
        yardstick_us.append(_run_yardstick(folder / str(round_), batches))
        with _collector(folder / str(round_)) as (pid, url):
            _post(url, _make_requests(10, 1000 + round_))  # the first batches load what the others use
            requests_ = _make_requests(batches, round_)
            before, started = cpu_seconds(pid), time.monotonic()
            _post(url, requests_)
            per_second.append(batches * BATCH_EVENTS / (time.monotonic() - started))
            ours_us.append((cpu_seconds(pid) - before) / (batches * BATCH_EVENTS) * 1e6)
            memory.append(peak_mb(pid))
    times = median(ours / yardstick for ours, yardstick in zip(ours_us, yardstick_us, strict=True))
    return at_most_times(
        "CPU per event stored by the collector (json.loads and an insert alone)",
        times,
        COST_GOAL,
        peer=f"{median(yardstick_us):.1f} us",
        eventpub=f"{median(ours_us):.1f} us, {median(per_second):,.0f}/s, {max(memory):.0f} MB",
    )


def _growth(folder: Path) -> Row:
    command = [sys.executable, "-m", "benchmarks.collector_worker", "growth", str(folder / "growth.sqlite")]
    with pinned(MEASURED_CORE):
        output = subprocess.check_output([*command, str(SMALL_EVENTS), str(LARGE_EVENTS)], cwd=ROOT)
    small_us, large_us = json.loads(output)
    return at_most_times(
        f"CPU per insert at {LARGE_EVENTS:,} events (at {SMALL_EVENTS:,})",
        large_us / small_us,
        GROWTH_GOAL,
        peer=f"{small_us:.1f} us",
        eventpub=f"{large_us:.1f} us",
    )


def _run_yardstick(folder: Path, batches: int) -> float:
    command = [
        sys.executable,
        "-m",
        "benchmarks.collector_worker",
        "yardstick",
        str(folder / "yardstick.sqlite"),
    ]
    with pinned(MEASURED_CORE):
        return float(subprocess.check_output([*command, str(batches)], cwd=ROOT))


@contextlib.contextmanager
def _collector(folder: Path) -> Iterator[tuple[int, str]]:
    config, ready = folder / "collector.ini", folder / "collector.url"
    settings = f"listen = 127.0.0.1:0\nstore.path = {folder}/events.sqlite"
    config.write_text(f"[collector]\n{settings}\n[keys]\n{KEY} = {SECRET}\n")
    command = [sys.executable, "-m", "eventpub.collector", "--ready-file", str(ready), str(config)]
    with pinned(MEASURED_CORE), (folder / "collector.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_until(ready.exists, "the collector starts")
        yield process.pid, ready.read_text().strip()
    finally:
        process.terminate()
        process.wait()


def _make_requests(batches: int, seed: int) -> list[tuple[bytes, dict[str, str]]]:
    """Return bodies as they are sent, and their headers."""
    return [
        (
            gzip.compress(body, 1),
            {
                "Content-Encoding": "gzip",
                "Content-Type": "application/json",
                wire.IDEMPOTENCY_HEADER: wire.new_batch_id(),
                wire.SIGNATURE_HEADER: wire.signature(KEY, base64.b64decode(SECRET), body),
            },
        )
        for body in make_bodies(batches, seed=seed)
    ]


def _post(url: str, batches: list[tuple[bytes, dict[str, str]]]) -> None:
    with pinned(FEEDING_CORE), requests.Session() as session:
        for sent, headers in batches:
            session.post(f"{url}/v2", sent, headers=headers, timeout=60).raise_for_status()
