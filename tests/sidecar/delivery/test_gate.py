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


def warm_up(gate: Gate) -> None:
    """Have four attempts in flight."""
    for _ in range(6):
        fill(gate)
        gate.succeeded()
    assert fill(gate) == 4


def fail(gate: Gate, retry_after_seconds: float | None = None, attempts: int = 1) -> float:
    """Have an attempt fail that was entered after the last success."""
    return gate.failed(gate._successes, retry_after_seconds, attempts)


def test_concurrency_grows_by_one_a_round_of_successes_up_to_its_limit(gate: Gate) -> None:
    seen = []
    for _ in range(8):
        seen.append(fill(gate))
        gate.succeeded()
    assert seen == [1, 2, 2, 3, 3, 3, 4, 4]


def test_round_begins_anew_after_an_outage(gate: Gate, clock: Clock) -> None:
    fill(gate)
    gate.succeeded()
    fill(gate)
    gate.succeeded()
    fill(gate)
    fail(gate)
    fail(gate)
    clock.now += 60
    assert fill(gate) == 1
    gate.succeeded()
    assert fill(gate) == 2
    gate.succeeded()
    assert fill(gate) == 2


def test_failing_collector_sees_one_attempt_at_a_time(gate: Gate, clock: Clock) -> None:
    warm_up(gate)
    while gate.in_flight:
        fail(gate)
    clock.now += 60
    assert fill(gate) == 1


def test_failures_in_flight_together_count_as_one(gate: Gate) -> None:
    warm_up(gate)
    fail(gate)
    first = fail(gate)
    assert [fail(gate), fail(gate)] == [pytest.approx(first), pytest.approx(first)]


# --- one failure among successes


@pytest.mark.parametrize("is_silent", [True, False])
@pytest.mark.parametrize("concurrency", [2, 3, 4, 16])
def test_single_failure_among_successes_never_leaves_only_one_in_flight(
    concurrency: int, *, is_silent: bool, clock: Clock
) -> None:
    gate = Gate(concurrency, Backoff(1.0, 30.0), randomness=random.Random(7), clock=clock)
    for _ in range(200):
        fill(gate)
        gate.succeeded()
    for _ in range(5):
        entered = gate.enter()
        gate.failed(entered, is_silent=is_silent)
        clock.now += 2
        assert fill(gate) >= 2
        while gate.in_flight:
            gate.succeeded()
    assert not gate.failing


def test_attempt_that_fails_while_others_succeed_is_that_batch_alone(gate: Gate) -> None:
    """It was in flight for as long as a timeout takes, and the others were not."""
    warm_up(gate)
    entered = gate.enter()
    for _ in range(3):
        gate.succeeded()
        gate.enter()
        assert gate.failed(entered, attempts=1, is_silent=True) > 0
        gate.enter()
    assert (gate.allowed, gate.failing, gate._closed_until) == (4, False, 0.0)


def test_refusal_for_overload_halves_what_is_in_flight_and_pauses(gate: Gate, clock: Clock) -> None:
    warm_up(gate)
    fail(gate)
    assert gate.allowed == 2
    assert gate.seconds_to_open() is None
    while gate.in_flight:
        gate.leave()
    assert 0 < (gate.seconds_to_open() or 0) <= 1.0
    clock.now += 1
    assert fill(gate) == 2


def test_two_failures_in_a_row_are_the_collectors(gate: Gate) -> None:
    warm_up(gate)
    gate.failed(gate._successes, is_silent=True)
    assert not gate.failing
    gate.failed(gate._successes, is_silent=True)
    assert (gate.failing, gate.allowed) == (True, 1)


def test_retry_after_closes_the_gate_at_the_first_failure(gate: Gate) -> None:
    warm_up(gate)
    fail(gate, retry_after_seconds=60)
    assert (gate.failing, gate.allowed) == (True, 1)


def test_gate_stays_closed_for_the_backoff(gate: Gate, clock: Clock) -> None:
    gate.enter()
    delay = fail(gate)
    assert gate.seconds_to_open() == pytest.approx(delay)
    clock.now += delay
    assert gate.seconds_to_open() == 0


def test_retry_after_is_a_lower_bound(gate: Gate) -> None:
    gate.enter()
    assert fail(gate, retry_after_seconds=100.0) >= 100.0


def test_delays_grow_while_it_fails_and_start_anew_after_a_success(clock: Clock) -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:  # noqa: ARG002, the base's signature
            return b

    gate = Gate(4, Backoff(1.0, 30.0), randomness=Highest(), clock=clock)

    def fail_again() -> float:
        gate.enter()
        delay = fail(gate)
        clock.now += delay
        return delay

    assert [fail_again() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    gate.enter()
    gate.succeeded()
    assert [fail_again(), fail_again()] == [1, 1]  # the first was that batch's alone


def test_hurry_lets_one_attempt_through(gate: Gate) -> None:
    gate.enter()
    fail(gate, retry_after_seconds=300)
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
        own_seconds.append(fail(gate, attempts=attempts))
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
        assert fail(gate, attempts=attempts) == pytest.approx(gate.seconds_to_open())
        clock.now += gate.seconds_to_open() or 0.0
