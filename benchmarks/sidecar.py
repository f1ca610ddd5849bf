"""What delivering an event costs: baseplate's publisher and ours, on the same queue, INI file and HTTP sink.

The publisher has one core to itself; producer and sink share another. Ours runs with its spool on a disk and
`spool.fsync = seal`, which is more than baseplate's does: it keeps events in memory.
"""

from __future__ import annotations

import contextlib
import sys
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.machine import private_queues
from benchmarks.publisher import Publisher, QueueShape, Run, measure
from benchmarks.report import Row, at_most, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS_PER_SECOND = 25_000
CPU_GOAL = 5.0  # times less than baseplate's
SATURATED_GOAL = 2.0  # times more events per second
PEAK_GOAL_MB = 60.0

BASEPLATE, GZIP, ZSTD, NO_COMPILER = "baseplate", "gzip", "zstd", "no compiler"

# As deep as leaves this user's other queues half of the default RLIMIT_MSGQUEUE: it holds 28 ms of events. What
# an untuned kernel grants holds 0.4 ms.
DEEP = QueueShape(700, 512, burst_seconds=0.001, refused_seconds=0.0003)
DEFAULT = QueueShape(10, 8192, burst_seconds=0.0001, refused_seconds=0.0)

# Stands in for a machine without a compiler.
_INTERPRETED = """
from gevent import monkey
monkey.patch_all()
import sys
from eventpub.sidecar import native
native.load_library = lambda: None
from eventpub.sidecar.cli import main
sys.exit(main())
"""

OURS = {
    GZIP: Publisher((sys.executable, "-m", "eventpub.sidecar")),
    ZSTD: Publisher((sys.executable, "-m", "eventpub.sidecar"), accept_encoding="gzip, zstd"),
    NO_COMPILER: Publisher((sys.executable, "-c", _INTERPRETED)),
}


def rows(baseplate_python: str, *, quick: bool) -> list[Row]:
    """Measure everything and return the table's rows; without root, on the shallow queue only."""
    baseplate = {BASEPLATE: Publisher((baseplate_python, "-m", "baseplate.sidecars.event_publisher"))}
    table = []
    with contextlib.ExitStack() as namespace:
        try:
            namespace.enter_context(private_queues(DEEP.max_messages))
        except PermissionError:
            print(
                "the deep queue, which the sidecar's goals are set for, takes root: left out", file=sys.stderr
            )
        else:
            table += _rows(DEEP, baseplate | OURS, quick=quick)
    return table + _rows(DEFAULT, baseplate | {GZIP: OURS[GZIP]}, quick=quick)


def _rows(shape: QueueShape, publishers: Mapping[str, Publisher], *, quick: bool) -> list[Row]:
    where = f"{shape.max_messages}-deep queue"
    steady = _alternate(publishers, shape, EVENTS_PER_SECOND, quick=quick)
    main_two = {name: publishers[name] for name in (BASEPLATE, GZIP)}
    flat_out = _alternate(main_two, shape, None, quick=quick)
    ours = [run for name in steady if name != BASEPLATE for run in steady[name]] + flat_out[GZIP]

    def cpu(name: str) -> float:
        return median(run.cpu_us_per_event for run in steady[name])

    def reached(name: str) -> str:
        refused = median(run.refused_percent for run in steady[name])
        return f"{median(run.events_per_second for run in steady[name]):,.0f}/s, {refused:.0f} % refused"

    def others(name: str) -> str:
        return f"{median(run.others_percent for run in steady[name]):.0f} %"

    def saturated(name: str) -> float:
        return median(run.events_per_second for run in flat_out[name])

    return [
        *(
            ratio(
                f"CPU per event at {EVENTS_PER_SECOND:,}/s, {where}, {name}",
                cpu(BASEPLATE) / cpu(name),
                CPU_GOAL if shape is DEEP and name != NO_COMPILER else None,
                peer=f"{cpu(BASEPLATE):.1f} us",
                eventpub=f"{cpu(name):.1f} us",
            )
            for name in steady
            if name != BASEPLATE
        ),
        Row(f"offered {EVENTS_PER_SECOND:,}/s, {where}: taken", reached(BASEPLATE), reached(GZIP)),
        Row(f"of the publisher's core, {where}: used by others", others(BASEPLATE), others(GZIP)),
        ratio(
            f"events per second, saturated, {where}",
            saturated(GZIP) / saturated(BASEPLATE),
            SATURATED_GOAL if shape is DEEP else None,
            peer=f"{saturated(BASEPLATE):,.0f}",
            eventpub=f"{saturated(GZIP):,.0f}",
        ),
        at_most(
            f"peak memory, {where}",
            PEAK_GOAL_MB,
            max(run.peak_mb for run in ours),
            "MB",
            peer=f"{max(run.peak_mb for runs in (steady, flat_out) for run in runs[BASEPLATE]):.0f} MB",
        ),
        at_most(
            f"lost or repeated of {sum(run.total.accepted for run in ours):,} events, {where}",
            0,
            sum(run.lost + run.repeated for run in ours),
            "events",
        ),
    ]


def _alternate(
    publishers: Mapping[str, Publisher], shape: QueueShape, events_per_second: int | None, *, quick: bool
) -> dict[str, list[Run]]:
    """Measure the publishers in turn, so that a busy neighbour meets all of them."""
    window_seconds = 2.0 if quick else 3.0
    runs: dict[str, list[Run]] = {name: [] for name in publishers}
    for number in range(1 if quick else 3):
        for name, publisher in publishers.items():
            if name == NO_COMPILER and number:
                continue  # no goal depends on it
            run = measure(publisher, shape, events_per_second=events_per_second, window_seconds=window_seconds)
            runs[name].append(run)
            print(f"  {shape.max_messages}-deep, {name}: {run}", file=sys.stderr)
    return runs
