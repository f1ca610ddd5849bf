"""`make simulate`, with a small fleet: no stampede at the return, and fresh events pass the backlog."""

from __future__ import annotations

import pytest

from benchmarks.simulate import HEADROOM, SCENARIOS, simulate


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_fleet_comes_back_without_a_stampede_and_drains_its_backlog(scenario: str) -> None:
    found = simulate(scenario, sidecars=200, collectors=4, seed=1, seconds=120.0)
    assert found.peak_attempts <= 6 * found.load * HEADROOM
    assert found.fresh_after is not None
    assert found.fresh_after <= 60
    assert found.drained_after is not None
    assert found.drained_after <= 600


def test_the_same_seed_shows_the_same() -> None:
    found = [simulate("one slow", sidecars=50, collectors=2, seed=7)[:4] for _ in range(2)]
    assert found[0] == found[1]
