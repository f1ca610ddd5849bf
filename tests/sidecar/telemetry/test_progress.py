"""What each stage notes of itself, and how attempts are counted and timed."""

from __future__ import annotations

import contextlib
import time
from email.utils import formatdate

import pytest
from support.clocks import Clock

from eventpub.process.histogram import Histogram
from eventpub.sidecar.telemetry.attempts import Attempts
from eventpub.sidecar.telemetry.progress import Progress
from eventpub.sidecar.telemetry.verdicts import Verdict


def test_a_stage_says_what_it_did_last_and_what_it_has_been_doing_for_longest() -> None:
    clock = Clock()
    stage = Progress(clock).seal
    assert (stage.last, stage.age_seconds(), stage.longest(), stage.overdue()) == ("", None, None, None)
    with stage.doing("making a batch file"):
        clock.now += 3
        with stage.doing("sealing a batch") as _:
            clock.now += 2
            assert stage.longest() == ("making a batch file", 5.0)
            assert stage.overdue() is not None
    clock.now += 1
    assert (stage.last, stage.age_seconds(), stage.count) == ("making a batch file", 1.0, 2)
    assert stage.longest() is None


def test_a_step_has_the_time_that_it_is_allowed() -> None:
    clock = Clock()
    stage = Progress(clock).deliver
    with contextlib.suppress(OSError), stage.doing("sending a batch", 30.0):
        clock.now += 30
        assert stage.longest() == ("sending a batch", 0.0)
        clock.now += 4
        assert stage.longest() == ("sending a batch", 4.0)
        raise OSError
    assert stage.longest() is None  # however it ended


def test_a_histogram_counts_values_at_most_as_large() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.cumulate() == [2, 3, 4]
    assert histogram.sum == pytest.approx(7.65)


def test_failures_last_until_a_batch_is_accepted() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    attempts.failed(Verdict.RETRY, None, "refused", "nobody listens", is_failing=True)
    clock.now += 5
    attempts.failed(Verdict.HOLD, 401, "http", "unknown key", is_failing=True)
    assert (attempts.failing_since, attempts.last_success_at) == (1000.0, None)
    assert attempts.last_failure is not None
    assert attempts.last_failure.words == "unknown key"
    attempts.failed(Verdict.BISECT, 422, "http", "one is bad", is_failing=False)  # its own
    assert attempts.last_failure.status == 401
    attempts.accepted(200)
    assert (attempts.failing_since, attempts.last_success_at) == (None, 1005.0)
    assert attempts.last_failure.status == 401  # the last one there was
    assert {(verdict.name, code): n for (verdict, code), n in attempts.counts.items()} == {
        ("RETRY", "refused"): 1, ("HOLD", "401"): 1, ("BISECT", "422"): 1, ("ACCEPTED", "200"): 1,
    }  # fmt: skip


def test_the_collectors_clock_is_compared_by_its_date() -> None:
    attempts = Attempts()
    assert attempts.clock_offset_seconds() is None
    attempts.dated(formatdate(time.time() + 300, usegmt=True))
    offset = attempts.clock_offset_seconds()
    assert offset is not None
    assert 290 < offset < 302
    for nonsense in ("", "yesterday", "Thu, 99 Nov 99999 99:99:99 GMT"):
        attempts.dated(nonsense)
        assert attempts.clock_offset_seconds() is None


def test_lags_of_accepted_batches_are_timed_where_the_event_has_a_time() -> None:
    attempts = Attempts()
    attempts.arrived(time.time() - 2, None)
    attempts.arrived(time.time() - 2, 0.0)
    attempts.arrived(time.time() + 50, time.time() - 100)  # a clock that was set back is no negative lag
    assert attempts.store_seconds.cumulate()[-1] == 3
    assert 4 <= attempts.store_seconds.sum < 50
    assert attempts.lag_seconds.cumulate()[-1] == 1
    assert attempts.lag_seconds.sum >= 100
