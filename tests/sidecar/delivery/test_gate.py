"""How many attempts are in flight while the collector works, fails and returns."""

from __future__ import annotations

import random

import pytest
from support.clocks import Clock

from eventpub.sidecar.delivery.backoff import Backoff
from eventpub.sidecar.delivery.gate import Gate


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(4, Backoff(1.0, 30.0), randomness=random.Random(7), clock=clock)


def fill(gate: Gate) -> int:
    """Enter until the gate is shut, and return how many attempts are in flight."""
    while gate.seconds_to_open() == 0:
        gate.enter()
    return gate.in_flight


def test_concurrency_grows_by_one_a_round_of_successes_up_to_its_limit(gate: Gate) -> None:
    seen = []
    for _ in range(8):
        seen.append(fill(gate))
        gate.succeeded()
    assert seen == [1, 2, 2, 3, 3, 3, 4, 4]


def test_round_begins_anew_after_a_failure(gate: Gate, clock: Clock) -> None:
    fill(gate)
    gate.succeeded()
    fill(gate)
    gate.succeeded()
    gate.failed()
    clock.now += 60
    fill(gate)
    gate.succeeded()
    assert fill(gate) == 2
    gate.succeeded()
    assert fill(gate) == 2


def test_failing_collector_sees_one_attempt_at_a_time(gate: Gate, clock: Clock) -> None:
    for _ in range(6):
        fill(gate)
        gate.succeeded()
    while gate.in_flight:
        gate.failed()
    clock.now += 60
    assert fill(gate) == 1


def test_failures_in_flight_together_count_as_one(gate: Gate) -> None:
    for _ in range(6):
        fill(gate)
        gate.succeeded()
    fill(gate)
    first = gate.failed()
    assert [gate.failed(), gate.failed()] == [pytest.approx(first), pytest.approx(first)]


def test_gate_stays_closed_for_the_backoff(gate: Gate, clock: Clock) -> None:
    gate.enter()
    delay = gate.failed()
    assert gate.seconds_to_open() == pytest.approx(delay)
    clock.now += delay
    assert gate.seconds_to_open() == 0


def test_retry_after_is_a_lower_bound(gate: Gate) -> None:
    gate.enter()
    assert gate.failed(retry_after_seconds=100.0) >= 100.0


def test_delays_grow_while_it_fails_and_start_anew_after_a_success(clock: Clock) -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:  # noqa: ARG002, the base's signature
            return b

    gate = Gate(4, Backoff(1.0, 30.0), randomness=Highest(), clock=clock)

    def fail() -> float:
        gate.enter()
        delay = gate.failed()
        clock.now += delay
        return delay

    assert [fail() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    gate.enter()
    gate.succeeded()
    assert fail() == 1


def test_hurry_lets_one_attempt_through(gate: Gate) -> None:
    gate.enter()
    gate.failed(retry_after_seconds=300)
    gate.hurry()
    assert fill(gate) == 1


def test_attempt_that_never_asked_the_collector_changes_nothing(gate: Gate) -> None:
    gate.enter()
    gate.leave()
    assert (fill(gate), gate.failing) == (1, False)


def test_batch_that_fails_more_often_than_the_collector_waits_by_its_own_count(
    gate: Gate, clock: Clock
) -> None:
    """The collector answers it alone with 500: it is tried ever less often, and the gate is soon open again."""
    own_seconds, gate_seconds = [], []
    for attempts in range(1, 200):
        gate.enter()
        own_seconds.append(gate.failed(attempts=attempts))
        gate_seconds.append(gate.seconds_to_open() or 0.0)
        clock.now += gate_seconds[-1]
        gate.enter()
        gate.succeeded()
    assert max(gate_seconds) <= 1.0
    assert 10 < sum(own_seconds[10:]) / len(own_seconds[10:]) < 20
    assert all(own > closed - 0.001 for own, closed in zip(own_seconds, gate_seconds, strict=True))


def test_batch_that_fails_with_all_others_waits_with_the_gate(gate: Gate, clock: Clock) -> None:
    for attempts in range(1, 10):
        gate.enter()
        assert gate.failed(attempts=attempts) == pytest.approx(gate.seconds_to_open())
        clock.now += gate.seconds_to_open() or 0.0
