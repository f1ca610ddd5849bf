"""Fixtures for every test file.

A file changes its collector and its sidecars by fixtures of its own: `collector`, `collector_keys`,
`target_port`, `sidecar_keys`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import posix_ipc
import pytest
from hypothesis import settings
from support.clocks import Clock
from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.rigs import Run, killed_at_the_end
from support.sidecar_process import SidecarProcess
from support.statsd import Statsd
from support.turn import Turn

from eventpub.queue.message_queue import MessageQueue
from eventpub.wire import QUEUE_PREFIX

settings.register_profile("eventpub", deadline=None)  # a busy machine is no failure
settings.load_profile("eventpub")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background job, and so in each child
    signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count()
_turn = Turn(os.environ["PYTEST_XDIST_TESTRUNUID"]) if "PYTEST_XDIST_TESTRUNUID" in os.environ else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Let what is marked `alone` run while no other worker of pytest-xdist runs a test."""
    if _turn is not None:
        _turn.take(is_alone=_is_alone(item))
    try:
        return (yield)
    finally:
        stays_alone = _is_alone(item) and nextitem is not None and _is_alone(nextitem)
        if _turn is not None and not stays_alone:
            _turn.release()


def pytest_sessionfinish() -> None:
    if _turn is not None:
        _turn.close()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.fixture(autouse=True)
def signals_stay_as_they_are() -> Iterator[None]:
    """A test that left one blocked or ignored would have the programs of later tests never end."""
    before = _look_at_signals()
    yield
    assert _look_at_signals() == before


def _look_at_signals() -> tuple[object, ...]:
    handlers = map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    return (signal.pthread_sigmask(signal.SIG_BLOCK, ()), *handlers)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What most sidecars and collectors are forked from."""
    with contextlib.closing(Nursery()) as opened:
        yield opened


@pytest.fixture(scope="module")
def collector(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One for all tests of a file; a file whose tests need one each has a fixture of this name."""
    with CollectorProcess(tmp_path_factory.mktemp("collector"), nursery=nursery) as running:
        yield running


@pytest.fixture
def collector_keys() -> Mapping[str, bytes | list[bytes]] | None:
    """The keys of `fresh_collector`; None for the one that sidecars have."""
    return None


@pytest.fixture
def fresh_collector(
    nursery: Nursery, tmp_path: Path, collector_keys: Mapping[str, bytes | list[bytes]] | None
) -> Iterator[CollectorProcess]:
    """One for the test alone."""
    with CollectorProcess(tmp_path, keys=collector_keys, nursery=nursery) as running:
        yield running


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


@pytest.fixture
def sidecar(run: Run) -> SidecarProcess:
    return run()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statsd() -> Iterator[Statsd]:
    listener = Statsd()
    yield listener
    listener.socket.close()


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Threads take turns so often that what is not safe among them goes wrong soon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def queue_name() -> Iterator[str]:
    """A queue name nobody else uses; the queue is removed afterwards."""
    name = f"t{os.getpid()}-{next(_numbers)}"
    yield name
    with contextlib.suppress(posix_ipc.ExistentialError):
        posix_ipc.unlink_message_queue(QUEUE_PREFIX + name)


@pytest.fixture
def queue(queue_name: str) -> Iterator[MessageQueue]:
    """A queue as an untuned kernel gives it."""
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=8192) as opened:
        yield opened
