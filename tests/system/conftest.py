"""Fixtures of the tests with several processes: each test has a collector, a line and sidecars of its own.

A file changes them by fixtures of its own: `collector_keys`, `target_port`, `sidecar_keys`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.line import Line
from support.nursery import Nursery, NurserySidecar
from support.rigs import Run, killed_at_the_end
from support.sidecar_process import SidecarProcess


@pytest.fixture
def collector_keys() -> Mapping[str, list[bytes]] | None:
    """The collector's keys; None for the one that sidecars have."""
    return None


@pytest.fixture
def collector(
    nursery: Nursery, tmp_path: Path, collector_keys: Mapping[str, list[bytes]] | None
) -> Iterator[CollectorProcess]:
    with CollectorProcess(tmp_path, keys=collector_keys, nursery=nursery) as running:
        yield running


@pytest.fixture
def line(collector: CollectorProcess) -> Iterator[Line]:
    with Line(collector.port) as opened:
        yield opened


@pytest.fixture
def target_port(collector: CollectorProcess) -> int:
    """Where sidecars post to."""
    return collector.port


@pytest.fixture
def sidecar_keys() -> Mapping[str, str]:
    """INI keys of all sidecars of a file."""
    return {"collector_version": "2j"}


@pytest.fixture
def run(
    nursery: Nursery, tmp_path: Path, queue_name: str, target_port: int, sidecar_keys: Mapping[str, str]
) -> Iterator[Run]:
    """Start a sidecar with these INI keys."""

    def make(port: int | None = None, **keys: str) -> SidecarProcess:
        return NurserySidecar(nursery, tmp_path, queue_name, port or target_port, **{**sidecar_keys, **keys})

    with killed_at_the_end(make) as start:
        yield start
