"""Fixtures of the tests of `eventpub spool` and `eventpub dead-letters`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.commands import EVENTS, Command, SpoolFolder
from support.letters import NEW, write_config
from support.nursery import Nursery, NurserySidecar
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until


@pytest.fixture
def eventpub(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture
def spool(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path / "spool")


@pytest.fixture
def sidecar(nursery: Nursery, tmp_path: Path, queue_name: str) -> Iterator[SidecarProcess]:
    """A sidecar whose collector is down, and that has 3 events in its spool."""
    running = NurserySidecar(nursery, tmp_path, queue_name, 1, collector_version="2j", shutdown_timeout="0.1")
    running.put(*EVENTS[:3])
    wait_until(lambda: sum(int(path.name.split(".")[1]) for path in running.batches()) == 3, "it is sealed")
    yield running
    running.kill()


@pytest.fixture
def collector_keys() -> Mapping[str, bytes] | None:
    """The new key only."""
    return {"test": NEW}


@pytest.fixture
def collector(fresh_collector: CollectorProcess) -> CollectorProcess:
    return fresh_collector


@pytest.fixture
def config(tmp_path: Path, spool: SpoolFolder, collector: CollectorProcess) -> Path:
    return write_config(tmp_path / "example.ini", spool, collector.hostname)
