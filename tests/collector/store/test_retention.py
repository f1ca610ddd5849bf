"""Events are removed by their age, unless the time of day cannot be believed."""

from __future__ import annotations

import pytest

from eventpub.collector.store.retention import Retention

DAY = 86_400.0


class Clocks:
    def __init__(self) -> None:
        self.wall, self.running = 1.7e9, 50.0

    def pass_seconds(self, seconds: float) -> None:
        self.wall += seconds
        self.running += seconds


def make(clocks: Clocks, keep_seconds: float = 90 * DAY) -> Retention:
    return Retention(keep_seconds, lambda: clocks.wall, lambda: clocks.running)


def test_what_is_older_than_the_setting_is_old() -> None:
    clocks = Clocks()
    retention = make(clocks)
    clocks.pass_seconds(400 * DAY)
    assert retention.before() == clocks.wall - 90 * DAY
    assert make(clocks, 0).before() is None


@pytest.mark.parametrize("jump", [30 * DAY, -30 * DAY, 2 * 3600.0])
def test_a_clock_that_jumps_removes_nothing_and_is_told_once(
    jump: float, caplog: pytest.LogCaptureFixture
) -> None:
    clocks = Clocks()
    retention = make(clocks)
    clocks.wall += jump
    assert [retention.before() for _ in range(3)] == [None] * 3
    assert caplog.text.count("the time of day jumped") == 1
    clocks.wall -= jump
    assert retention.before() == clocks.wall - 90 * DAY


def test_a_clock_that_is_corrected_a_little_goes_on() -> None:
    clocks = Clocks()
    retention = make(clocks)
    clocks.wall += 59 * 60
    assert retention.before() == clocks.wall - 90 * DAY
