"""`make simulate`: a fleet of sidecars before a row of collectors, in simulated time, on the real policy.

Each sidecar fills a batch in ten seconds and has the sidecar's own `Gate`, `Backoff` and `Outbox`; only the
network and the collectors are made up. A collector serves a request in 50 ms, some at once; others wait for up
to 2 s, and what cannot be served by then is answered with 503 and `Retry-After: 5`, as ours does. A load
balancer gives each attempt to a collector at random.

| scenario          | what happens at 60 s                                                        |
|-------------------|-----------------------------------------------------------------------------|
| outage            | all collectors are away for 30 minutes                                      |
| rolling restart   | one after the other is away for 5 s                                         |
| one slow          | one of them takes 20 times as long, for 5 minutes                           |
| full engine       | every collector answers 503 with Retry-After: 5, for 10 minutes             |
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import resource
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eventpub.sidecar.delivery.backoff import Backoff
from eventpub.sidecar.delivery.gate import Gate
from eventpub.sidecar.delivery.outbox import Outbox
from eventpub.sidecar.spool.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    Answered = Callable[[str, float | None], None]

BATCH_SECONDS = 10.0  # between two batches of one sidecar
SERVICE_SECONDS = 0.05
NETWORK_SECONDS = 0.01
PATIENCE_SECONDS, RETRY_AFTER_SECONDS = 2.0, 5.0
HEADROOM = 2.0  # how many times the load the collectors can serve
CONCURRENCY = 4  # the sidecar's default
BEGIN_SECONDS = 60.0
OUTAGE_SECONDS, FULL_SECONDS, RESTART_SECONDS = 1800.0, 600.0, 5.0
SCENARIOS = ("outage", "rolling restart", "one slow", "full engine")


class Clock:
    """Simulated time, and what is to happen at which moment of it."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.randomness = random.Random(seed)
        self._tie = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen later."""
        heapq.heappush(self._agenda, (self.now + seconds, next(self._tie), action))

    def run(self, until: float, is_over: Callable[[], bool]) -> None:
        """Let time pass."""
        while self._agenda and self._agenda[0][0] <= until and not is_over():
            self.now, _, action = heapq.heappop(self._agenda)
            action()


class Collector:
    """One process behind the load balancer; `post` calls back with `served`, `refused` or `silent`."""

    def __init__(self, clock: Clock, at_once: int) -> None:
        self.is_away = False
        self.is_full = False
        self.slowness = 1.0
        self._clock = clock
        self._at_once = at_once
        self._busy = 0
        self._waiting: deque[Answered] = deque()

    def post(self, answered: Answered) -> None:
        """Take an attempt."""
        if self.is_away:
            self._clock.after(0.002, lambda: answered("silent", None))
        elif self.is_full or len(self._waiting) >= self._at_once * PATIENCE_SECONDS / self._seconds:
            self._clock.after(NETWORK_SECONDS, lambda: answered("refused", RETRY_AFTER_SECONDS))
        elif self._busy < self._at_once:
            self._serve(answered)
        else:
            self._waiting.append(answered)

    @property
    def _seconds(self) -> float:
        return SERVICE_SECONDS * self.slowness

    def _serve(self, answered: Answered) -> None:
        self._busy += 1

        def finish() -> None:
            self._busy -= 1
            self._clock.after(NETWORK_SECONDS, lambda: answered("served", None))
            if self._waiting:
                self._serve(self._waiting.popleft())

        self._clock.after(self._seconds, finish)


class Fleet:
    """All sidecars, and what is counted of them."""

    def __init__(self, clock: Clock, sidecars: int, collectors: list[Collector]) -> None:
        self.clock = clock
        self.collectors = collectors
        self.attempts: Counter[int] = Counter()
        self.fresh_seconds: dict[int, list[float]] = {}
        self.waiting = 0
        for _ in range(sidecars):
            Sidecar(self)


class Sidecar:
    """What `Sender` does with a batch, around the real objects."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._clock = clock = fleet.clock
        self._outbox = Outbox(lambda: clock.now)
        self._gate = Gate(CONCURRENCY, Backoff(1.0, 30.0), randomness=clock.randomness, clock=lambda: clock.now)
        self._made_at: dict[int, float] = {}
        self._number = 0
        self._wakes_at = -1.0
        clock.after(clock.randomness.random() * BATCH_SECONDS, self._fill)

    def _fill(self) -> None:
        self._number += 1
        self._made_at[self._number] = self._clock.now
        self._outbox.put(Batch(Path(f"{self._number:012d}.1000.batch"), 1000, 300_000))
        self._fleet.waiting += 1
        self._clock.after(BATCH_SECONDS, self._fill)
        self._go()

    def _go(self) -> None:
        while True:
            waits = (self._gate.seconds_to_open(), self._outbox.seconds_to_next())
            if waits[0] is None or waits[1] is None:
                return
            wait_seconds = max(waits[0], waits[1])
            if wait_seconds > 0:
                break
            batch = self._outbox.take()
            if batch is None:
                return
            entered = self._gate.enter()
            batch.attempts += 1
            self._fleet.attempts[int(self._clock.now)] += 1
            collector = self._clock.randomness.choice(self._fleet.collectors)
            collector.post(
                lambda kind, after, batch=batch, entered=entered: self._answered(batch, entered, kind, after)
            )
        if self._wakes_at <= self._clock.now:
            self._wakes_at = self._clock.now + wait_seconds
            self._clock.after(wait_seconds, self._go)

    def _answered(self, batch: Batch, entered: int, kind: str, retry_after_seconds: float | None) -> None:
        if kind == "served":
            self._gate.succeeded()
            self._fleet.waiting -= 1
            made_at = self._made_at.pop(batch.sequence)
            self._fleet.fresh_seconds.setdefault(int(self._clock.now), []).append(self._clock.now - made_at)
        else:
            seconds = self._gate.failed(
                entered, retry_after_seconds, batch.attempts, is_silent=kind == "silent"
            )
            self._outbox.set_aside(batch, seconds)
        self._go()


class Result(NamedTuple):
    """What a scenario showed."""

    peak_attempts: int
    load: float
    fresh_after: float | None
    drained_after: float | None
    memory_mb: float


def simulate(scenario: str, *, sidecars: int, collectors: int, seed: int, seconds: float = 0.0) -> Result:
    """Run one scenario; `seconds` is how long an outage or a full engine lasts, if not as the table says."""
    clock = Clock(seed)
    load = sidecars / BATCH_SECONDS
    at_once = max(1, round(load * HEADROOM * SERVICE_SECONDS / collectors))
    row = [Collector(clock, at_once) for _ in range(collectors)]
    fleet = Fleet(clock, sidecars, row)
    ended_at = BEGIN_SECONDS + _arrange(scenario, clock, row, seconds)
    usual = max(20, sidecars // 20)  # that are on their way at any time

    def is_over() -> bool:
        return clock.now > ended_at + 10 and fleet.waiting <= usual

    clock.run(ended_at + 7200, is_over)
    after = {second: found for second, found in fleet.fresh_seconds.items() if second >= ended_at}
    fresh = next((second for second in sorted(after) if min(after[second]) < 2 * BATCH_SECONDS), None)
    return Result(
        peak_attempts=max(
            (count for second, count in fleet.attempts.items() if second >= ended_at - 1), default=0
        ),
        load=load,
        fresh_after=None if fresh is None else fresh - ended_at,
        drained_after=clock.now - ended_at if fleet.waiting <= usual else None,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _arrange(scenario: str, clock: Clock, row: list[Collector], seconds: float) -> float:
    """Have the collectors fail as the scenario says; return how long that takes, in seconds."""

    def switch(collector: Collector, at: float, seconds: float, **changes: object) -> None:
        before = {name: getattr(collector, name) for name in changes}

        def change(values: dict[str, object]) -> None:
            for name, value in values.items():
                setattr(collector, name, value)

        clock.after(at, lambda: change(dict(changes)))
        clock.after(at + seconds, lambda: change(before))

    if scenario == "rolling restart":
        for number, collector in enumerate(row):
            switch(collector, BEGIN_SECONDS + number * 2 * RESTART_SECONDS, RESTART_SECONDS, is_away=True)
        return len(row) * 2 * RESTART_SECONDS
    if scenario == "one slow":
        switch(row[0], BEGIN_SECONDS, 300.0, slowness=20.0)
        return 300.0
    seconds = seconds or (OUTAGE_SECONDS if scenario == "outage" else FULL_SECONDS)
    for collector in row:
        switch(collector, BEGIN_SECONDS, seconds, **{"is_away" if scenario == "outage" else "is_full": True})
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__.splitlines()[0])
    parser.add_argument("--sidecars", type=int, default=10_000)
    parser.add_argument("--collectors", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("scenarios", nargs="*", metavar=" | ".join(SCENARIOS))
    options = parser.parse_args()
    fleet = f"{options.sidecars:,} sidecars, {options.collectors} collectors"
    print(f"{fleet} that can serve {HEADROOM:g} times the load, seed {options.seed}\n")
    print("| scenario | batches/s | most attempts/s after it | fresh events after | backlog gone after |")
    print("| - | - | - | - | - |")
    for scenario in options.scenarios or SCENARIOS:
        started = time.monotonic()
        found = simulate(scenario, sidecars=options.sidecars, collectors=options.collectors, seed=options.seed)
        fresh = "never" if found.fresh_after is None else f"{found.fresh_after:.0f} s"
        drained = "never" if found.drained_after is None else f"{found.drained_after:.0f} s"
        print(f"| {scenario} | {found.load:,.0f} | {found.peak_attempts:,} | {fresh} | {drained} |", flush=True)
        print(f"{scenario}: {time.monotonic() - started:.0f} s, {found.memory_mb:.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
