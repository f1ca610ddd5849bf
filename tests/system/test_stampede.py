"""What a fleet of sidecars does to a collector that returns: real gates, backoffs, outboxes in simulated time.

Fifty sidecars fill a batch a second each while their collector is down for an hour. The collector then serves
32 requests at once in 50 ms each, and answers the rest with 503; the network takes 1 to 10 ms for each way.
`pytest -s` shows the attempts of each second.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from eventpub.sidecar.delivery.backoff import Backoff
from eventpub.sidecar.delivery.gate import Gate
from eventpub.sidecar.delivery.outbox import Outbox
from eventpub.sidecar.spool.batch import Batch

SIDECARS = 50
CONCURRENCY = 16  # four times the default: 800 at once if all came back at full strength
SERVED_AT_ONCE = 32
SERVICE_SECONDS = 0.05
CAPACITY = SERVED_AT_ONCE / SERVICE_SECONDS  # requests a second
OUTAGE_SECONDS = 3600


class Simulation:
    """A clock, and what is to happen at which time of it."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.randomness = random.Random(seed)
        self._tie = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._tie), action))

    def run(self, until: float) -> None:
        while self._agenda[0][0] <= until:
            self.now, _, action = heapq.heappop(self._agenda)
            action()


class Collector:
    def __init__(self, simulation: Simulation, retry_after_seconds: float | None) -> None:
        self.is_down = False
        self.attempts: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self._simulation = simulation
        self._retry_after_seconds = retry_after_seconds
        self._busy = 0

    def post(self, answered: Callable[[float | None, bool], None]) -> None:
        """Send a request; `answered` is called with Retry-After and whether it was served."""
        self._over_the_network(lambda: self._arrived(answered))

    def _over_the_network(self, action: Callable[[], None]) -> None:
        self._simulation.after(self._simulation.randomness.uniform(0.001, 0.01), action)

    def _arrived(self, answered: Callable[[float | None, bool], None]) -> None:
        second = int(self._simulation.now)
        self.attempts[second] += 1
        if self.is_down or self._busy >= SERVED_AT_ONCE:
            self.refused[second] += 1
            retry_after = self._retry_after_seconds if self.is_down else None
            self._over_the_network(lambda: answered(retry_after, False))
            return
        self._busy += 1

        def serve() -> None:
            self._busy -= 1
            self._over_the_network(lambda: answered(None, True))

        self._simulation.after(SERVICE_SECONDS, serve)


class Sidecar:
    """What `Sender.run` and `Sender._act` do, around the real objects."""

    def __init__(self, simulation: Simulation, collector: Collector) -> None:
        self._simulation = simulation
        self._collector = collector
        self.outbox = Outbox(simulation.clock)
        self.served: Counter[int] = Counter()
        self._gate = Gate(
            CONCURRENCY, Backoff(1.0, 30.0), randomness=simulation.randomness, clock=simulation.clock
        )
        self._numbers = itertools.count()
        self._wakes_at = -1.0
        simulation.after(simulation.randomness.random(), self._fill)

    def _fill(self) -> None:
        self.outbox.put(Batch(Path(f"{next(self._numbers):012d}.1000.batch"), 1000, 300_000))
        self._simulation.after(1.0, self._fill)
        self._go()

    def _go(self) -> None:
        while True:
            waits = (self._gate.seconds_to_open(), self.outbox.seconds_to_next())
            if None in waits:
                return
            wait_seconds = max(waits)
            if wait_seconds > 0:
                break
            batch = self.outbox.take()
            entered = self._gate.enter()
            batch.attempts += 1
            self._collector.post(lambda *answer, batch=batch, e=entered: self._answered(batch, e, answer))
        if self._wakes_at <= self._simulation.now:  # one wake-up at a time is enough
            self._wakes_at = self._simulation.now + wait_seconds
            self._simulation.after(wait_seconds, self._go)

    def _answered(self, batch: Batch, entered: int, answer: tuple[float | None, bool]) -> None:
        retry_after_seconds, was_served = answer
        if was_served:
            self.served[int(self._simulation.now)] += 1
            self._gate.succeeded()
        else:
            self.outbox.set_aside(batch, self._gate.failed(entered, retry_after_seconds, batch.attempts))
        self._go()


class Fleet:
    """Fifty sidecars that have worked for a minute, an hour's outage, and two minutes after it."""

    def __init__(self, retry_after_seconds: float | None) -> None:
        simulation = Simulation(seed=20)
        collector = self.collector = Collector(simulation, retry_after_seconds)
        sidecars = [Sidecar(simulation, collector) for _ in range(SIDECARS)]
        simulation.run(60)
        collector.is_down = True
        self.down = range(60, 60 + OUTAGE_SECONDS)
        simulation.run(self.down.stop)
        self.backlog = sum(len(sidecar.outbox) for sidecar in sidecars)
        collector.is_down = False
        simulation.run(self.down.stop + 120)
        self.left = sum(len(sidecar.outbox) for sidecar in sidecars)
        settled = range(self.down.stop + 60, self.down.stop + 120)
        self.shares = [sum(sidecar.served[second] for second in settled) for sidecar in sidecars]

    def rates(self, seconds: range) -> list[int]:
        return [self.collector.attempts[second] for second in seconds]

    def refusals(self, seconds: range) -> int:
        return sum(self.collector.refused[second] for second in seconds)

    def show(self) -> None:
        back = self.down.stop
        print(f"\n{self.backlog} batches wait; attempts in each second:")
        print("  the first minute of the outage", *self.rates(range(60, 120)))
        print("  its last minute               ", *self.rates(range(back - 60, back)))
        print("  the minute of the return      ", *self.rates(range(back, back + 60)))
        print("  refused in that minute        ", self.refusals(range(back, back + 60)))
        print("  served to each, a minute later", *sorted(self.shares))


@pytest.fixture(scope="module", params=[None, 60.0], ids=lambda seconds: f"Retry-After={seconds}")
def fleet(request: pytest.FixtureRequest) -> Fleet:
    fleet = Fleet(request.param)
    fleet.retry_after_seconds = request.param or 0.0
    fleet.show()
    return fleet


def test_outage_is_met_with_few_attempts(fleet: Fleet) -> None:
    """Each sidecar waits 15 s on average between two probes, and what Retry-After asks for besides."""
    settled = fleet.rates(range(200, fleet.down.stop))
    expected = SIDECARS / (15.0 + fleet.retry_after_seconds)
    assert sum(settled) / len(settled) == pytest.approx(expected, rel=0.1)
    assert max(settled) <= SIDECARS / 3


def test_collector_that_goes_down_is_not_stormed(fleet: Fleet) -> None:
    """Not when it falls, and not when the time has passed that it told all of them to stay away."""
    assert max(fleet.rates(range(60, 65))) < 2 * SIDECARS
    assert max(fleet.rates(range(65, 200))) <= SIDECARS / 2


def test_return_is_gradual_and_within_what_the_collector_can_serve(fleet: Fleet) -> None:
    """They return over the half minute in which each draws its probe, not in the second of the return."""
    back = fleet.down.stop
    rates = fleet.rates(range(back, back + 60))
    assert rates[0] < CAPACITY / 3
    assert max(rates) < 1.2 * CAPACITY


def test_overload_after_the_return_settles(fleet: Fleet) -> None:
    """A refusal sends its sidecar back to one attempt at a time, so most of what is sent is served."""
    back = fleet.down.stop
    minute = range(back + 60, back + 120)
    assert fleet.refusals(minute) < 0.25 * sum(fleet.rates(minute))


def test_backlog_drains_at_three_quarters_of_what_the_collector_can_serve(fleet: Fleet) -> None:
    drained = fleet.backlog - fleet.left + 120 * SIDECARS
    assert fleet.backlog == pytest.approx(OUTAGE_SECONDS * SIDECARS, rel=0.01)
    assert drained > 0.75 * CAPACITY * 120


def test_no_sidecar_is_kept_out_by_the_others(fleet: Fleet) -> None:
    assert min(fleet.shares) > sum(fleet.shares) / SIDECARS / 5
