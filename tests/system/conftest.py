"""Fixtures of the tests with several processes: each test has a collector, a line and sidecars of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.collector_process import CollectorProcess
from support.line import Line


@pytest.fixture
def collector(fresh_collector: CollectorProcess) -> CollectorProcess:
    return fresh_collector


@pytest.fixture
def line(collector: CollectorProcess) -> Iterator[Line]:
    with Line(collector.port) as opened:
        yield opened
