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
import gc
import heapq
import itertools
import math
import random
import resource
import sys
import time
from bisect import bisect_right
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple, cast

from eventpub.sidecar.delivery.backoff import Backoff
from eventpub.sidecar.delivery.gate import Gate
from eventpub.sidecar.delivery.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.sidecar.spool.batch import Batch

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
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []

    def after(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        """Have something happen later."""
        heapq.heappush(self._agenda, (self.now + seconds, next(self._tie), action, arguments))

    def run(self, until: float) -> None:
        """Let time pass until then."""
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, action, arguments = heapq.heappop(self._agenda)
            action(*arguments)
        self.now = until


class WaitingBatch:
    """What `Outbox` needs of a batch, in a fifth of the memory: a fleet has millions after an outage.

    Attributes:
        made_at: when it was full, in simulated seconds.
        attempts: how often it was sent.
    """

    __slots__ = ("attempts", "made_at")
    timeouts = 0  # an attempt that is silent here was refused at once

    def __init__(self, made_at: float) -> None:
        self.made_at = made_at
        self.attempts = 0


class Attempt(NamedTuple):
    """A batch on its way."""

    sidecar: Sidecar
    batch: WaitingBatch
    entered: int


class Collector:
    """One process behind the load balancer; it answers with `served`, `refused` or `silent`."""

    def __init__(self, clock: Clock, at_once: int) -> None:
        self.is_away = False
        self.is_full = False
        self.slowness = 1.0
        self._clock = clock
        self._at_once = at_once
        self._busy = 0
        self._waiting: deque[Attempt] = deque()

    def post(self, attempt: Attempt) -> None:
        """Take an attempt."""
        if self.is_away:
            self._clock.after(0.002, attempt.sidecar.hear, attempt, "silent", None)
        elif self.is_full or len(self._waiting) >= self._at_once * PATIENCE_SECONDS / self._seconds:
            self._clock.after(NETWORK_SECONDS, attempt.sidecar.hear, attempt, "refused", RETRY_AFTER_SECONDS)
        elif self._busy < self._at_once:
            self._serve(attempt)
        else:
            self._waiting.append(attempt)

    @property
    def _seconds(self) -> float:
        return SERVICE_SECONDS * self.slowness

    def _serve(self, attempt: Attempt) -> None:
        self._busy += 1
        self._clock.after(self._seconds, self._finish, attempt)

    def _finish(self, attempt: Attempt) -> None:
        self._busy -= 1
        self._clock.after(NETWORK_SECONDS, attempt.sidecar.hear, attempt, "served", None)
        if self._waiting:
            self._serve(self._waiting.popleft())


class Fleet:
    """All sidecars, and what is counted of them.

    Attributes:
        attempts: how many were made in each second.
        fresh_at: when the first fresh event was stored after `ended_at`.
        ended_at: when the trouble is over.
    """

    def __init__(self, clock: Clock, sidecars: int, collectors: list[Collector]) -> None:
        self.clock = clock
        self.collectors = collectors
        self.attempts: Counter[int] = Counter()
        self.ended_at = math.inf
        self.fresh_at: float | None = None
        self._served = 0
        self._begins = sorted(clock.randomness.random() * BATCH_SECONDS for _ in range(sidecars))
        for begins_at in self._begins:
            Sidecar(self, begins_at)

    @property
    def waiting(self) -> int:
        """How many batches were made and are not stored yet."""
        rounds, part = divmod(self.clock.now, BATCH_SECONDS)
        made = int(rounds) * len(self._begins) + bisect_right(self._begins, part)
        return made - self._served

    def count_served(self, batch: WaitingBatch) -> None:
        """Count a batch that is stored."""
        self._served += 1
        if self.fresh_at is None and (now := self.clock.now) >= self.ended_at:
            self.fresh_at = now if now - batch.made_at < 2 * BATCH_SECONDS else None


class Sidecar:
    """What `Sender` does with a batch, around the real objects.

    It comes to its batches only when one may be sent; those that were full before then are put in the outbox.
    """

    __slots__ = ("_clock", "_fleet", "_gate", "_next_at", "_outbox", "_wakes_at")

    def __init__(self, fleet: Fleet, begins_at: float) -> None:
        self._fleet = fleet
        self._clock = clock = fleet.clock
        self._outbox = Outbox(lambda: clock.now)
        self._gate = Gate(CONCURRENCY, Backoff(1.0, 30.0), randomness=clock.randomness, clock=lambda: clock.now)
        self._next_at = begins_at
        self._wakes_at = begins_at
        clock.after(begins_at, self._wake)

    def hear(self, attempt: Attempt, kind: str, retry_after_seconds: float | None) -> None:
        """Take an answer."""
        batch = attempt.batch
        if kind == "served":
            self._gate.succeeded()
            self._fleet.count_served(batch)
        else:
            seconds = self._gate.failed(
                attempt.entered, retry_after_seconds, batch.attempts, is_silent=kind == "silent"
            )
            self._outbox.set_aside(cast("Batch", batch), seconds)
        self._go()

    def _wake(self) -> None:
        if self._wakes_at <= self._clock.now:
            self._wakes_at = math.inf
            self._go()

    def _go(self) -> None:
        now = self._clock.now
        while self._next_at <= now:
            self._outbox.put(cast("Batch", WaitingBatch(self._next_at)))
            self._next_at += BATCH_SECONDS
        while (closed_seconds := self._gate.seconds_to_open()) is not None:  # else an answer comes
            next_seconds = self._outbox.seconds_to_next()
            fill_seconds = self._next_at - now
            empty_seconds = fill_seconds if next_seconds is None else min(next_seconds, fill_seconds)
            if (wait_seconds := max(closed_seconds, empty_seconds)) > 0:
                self._sleep(wait_seconds)
                return
            batch = cast("WaitingBatch", self._outbox.take())
            batch.attempts += 1
            self._fleet.attempts[int(now)] += 1
            collector = self._clock.randomness.choice(self._fleet.collectors)
            collector.post(Attempt(self, batch, self._gate.enter()))

    def _sleep(self, seconds: float) -> None:
        """Wake up then, unless it is woken before."""
        wakes_at = self._clock.now + seconds
        if wakes_at < self._wakes_at:
            self._wakes_at = wakes_at
            self._clock.after(seconds, self._wake)


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
    ended_at = fleet.ended_at = BEGIN_SECONDS + _arrange(scenario, clock, row, seconds)
    usual = max(20, sidecars // 20)  # that are on their way at any time
    clock.run(ended_at + 10)
    while fleet.waiting > usual and clock.now < ended_at + 7200:
        clock.run(clock.now + 1)
    return Result(
        peak_attempts=max(
            (count for second, count in fleet.attempts.items() if second >= ended_at - 1), default=0
        ),
        load=load,
        fresh_after=None if fleet.fresh_at is None else fleet.fresh_at - ended_at,
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

        clock.after(at, change, changes)
        clock.after(at + seconds, change, before)

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
    gc.disable()  # nothing is dropped before its scenario ends, and there is much to look through
    for scenario in options.scenarios or SCENARIOS:
        gc.collect()
        started = time.monotonic()
        found = simulate(scenario, sidecars=options.sidecars, collectors=options.collectors, seed=options.seed)
        fresh = "never" if found.fresh_after is None else f"{found.fresh_after:.0f} s"
        drained = "never" if found.drained_after is None else f"{found.drained_after:.0f} s"
        print(f"| {scenario} | {found.load:,.0f} | {found.peak_attempts:,} | {fresh} | {drained} |", flush=True)
        print(f"{scenario}: {time.monotonic() - started:.0f} s, {found.memory_mb:.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
