"""A real collector stands mutated requests; `python -m fuzz.collector 100000` sends many more."""

from __future__ import annotations

from fuzz.collector import MAX_GROWTH_MIB, SETTINGS, resident_mib, try_requests
from support.collector_process import CollectorProcess


def test_mutated_requests_are_answered_and_leave_nothing_behind(tmp_path, nursery):
    with CollectorProcess(tmp_path, settings=SETTINGS, faults=None, nursery=nursery) as collector:
        before = resident_mib(collector.process.pid)
        figures = try_requests(collector, 1_000, seed=0)
        assert set(figures.statuses) > {200, 400, 401, 408, 422}
        assert max(figures.slowest_seconds, figures.slowest_health_seconds) < 10  # the machine does much else
        assert resident_mib(collector.process.pid) - before < MAX_GROWTH_MIB
        assert collector.stop() == 0
