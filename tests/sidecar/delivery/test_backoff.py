"""The wait after a failed attempt: `sidecar/delivery/backoff.py`."""

from __future__ import annotations

import random
import statistics

from hypothesis import given
from hypothesis import strategies as st

from eventpub.sidecar.delivery.backoff import Backoff

spans = st.floats(0.01, 3600)
backoffs = st.builds(
    lambda low, high, attempt: Backoff(min(low, high), max(low, high), attempt),
    spans,
    spans,
    st.integers(0, 10_000),
)
retry_afters = st.none() | st.floats(0, 300)
randoms = st.randoms(use_true_random=False)


@given(backoff=backoffs, retry_after_seconds=retry_afters, randomness=randoms)
def test_no_wait_is_shorter_than_the_collector_asked_for(backoff, retry_after_seconds, randomness):
    delay_seconds, _ = backoff.next(retry_after_seconds, randomness)
    assert delay_seconds >= (retry_after_seconds or 0)


@given(backoff=backoffs, retry_after_seconds=retry_afters, randomness=randoms)
def test_no_wait_is_longer_than_the_longest_besides_what_the_collector_asked_for(
    backoff, retry_after_seconds, randomness
):
    delay_seconds, _ = backoff.next(retry_after_seconds, randomness)
    assert delay_seconds <= (retry_after_seconds or 0) + backoff.max_seconds


@given(backoff=backoffs, randomness=randoms)
def test_a_failure_makes_another_value_and_leaves_this_one(backoff, randomness):
    before = Backoff(backoff.min_seconds, backoff.max_seconds, backoff.attempt)
    _, following = backoff.next(None, randomness)
    assert backoff == before
    assert following == Backoff(backoff.min_seconds, backoff.max_seconds, backoff.attempt + 1)


def waits(failures: int, retry_after_seconds: float | None = None) -> list[float]:
    """The waits of 2,000 sidecars after so many failures in a row."""
    randomness = random.Random(20)
    backoff = Backoff(1.0, 30.0, failures - 1)
    return [backoff.next(retry_after_seconds, randomness)[0] for _ in range(2_000)]


def test_the_longest_wait_doubles_from_the_first_to_the_last():
    longest = [max(waits(failures)) for failures in range(1, 9)]
    expected = [1, 2, 4, 8, 16, 30, 30, 30]
    assert all(0.98 * bound <= seconds <= bound for seconds, bound in zip(longest, expected, strict=True))


def test_many_sidecars_spread_over_the_whole_span():
    """Full jitter: their attempts arrive evenly, in every tenth of it about a tenth of them."""
    seconds = waits(8)
    tenths = [sum(3 * tenth <= each < 3 * (tenth + 1) for each in seconds) for tenth in range(10)]
    assert min(tenths) > 150
    assert max(tenths) < 250


def test_many_sidecars_that_were_told_the_same_time_do_not_come_back_together():
    seconds = waits(5, retry_after_seconds=60.0)
    assert min(seconds) >= 60
    assert statistics.stdev(seconds) > 4


def test_they_come_back_over_as_long_as_they_were_told_to_stay_away():
    """Though it is the first failure, whose wait is within a second otherwise."""
    seconds = waits(1, retry_after_seconds=20.0)
    assert min(seconds) >= 20
    assert max(seconds) > 39.5
    assert max(waits(1, retry_after_seconds=300.0)) <= 330
