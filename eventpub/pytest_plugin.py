"""Fixtures for testing applications with pytest; `-p no:eventpub` turns them off.

A test run that uses none of them only pays for the import of `eventpub`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from eventpub.queue.event_queue import EventQueue
    from eventpub.testing import CollectedEvents, MemoryQueue, Record


_SESSION = pytest.StashKey["Record"]()

_WAITING = (  # modules that wait, or look after a queue
    "eventpub.collector", "eventpub.handlers", "eventpub.queue", "eventpub.sidecar",
    "eventpub.testing.memory_queue", "eventpub.tracking.background", "eventpub.tracking.process_end",
    "eventpub.tracking.sampling",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `eventpub_capture`."""
    text = "capture in every test what is put on any event queue; nothing reaches the kernel (default: no)"
    parser.addini("eventpub_capture", text, type="bool", default=False)
    text = "what `collected_events` takes: 2 for Thrift structs, 2j for dicts (default: 2)"
    parser.addini("eventpub_version", text, default="2")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Capture events from here on if that is asked for: those of fixtures and of imported modules as well."""
    if session.config.getini("eventpub_capture"):
        from eventpub.testing import capture_events  # noqa: PLC0415, only who uses it pays for it

        capturing = contextlib.ExitStack()
        session.config.stash[_SESSION] = capturing.enter_context(capture_events())
        session.config.add_cleanup(capturing.close)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Let go of what a test has put: a test looks at its own by `captured_events`."""
    if captured := item.config.stash.get(_SESSION, None):
        captured.clear()


def pytest_configure() -> None:
    """Keep our clocks running where freezegun stops all others.

    With a stopped clock `put(timeout=0.2)` would wait for ever on a full queue, and a removed queue would go
    unnoticed. Timestamps of events do show the frozen time.
    """
    if "freezegun" in sys.modules:
        _configure(sys.modules["freezegun"])
    else:
        sys.meta_path.insert(0, _FreezegunFinder())


@pytest.fixture
def event_queue() -> Iterator[MemoryQueue[Any]]:
    """An `eventpub.testing.MemoryQueue`: an event queue without a kernel that shows what was put."""
    from eventpub.serialization.unwritable import strict_process  # noqa: PLC0415, only who uses it pays for it
    from eventpub.testing import MemoryQueue  # noqa: PLC0415, likewise

    events: MemoryQueue[Any]
    with MemoryQueue() as events, strict_process():
        yield events


@pytest.fixture
def captured_events() -> Iterator[Record]:
    """Everything that is put on any `EventQueue` while the test runs; nothing reaches the kernel."""
    from eventpub.testing import capture_events  # noqa: PLC0415, likewise

    with capture_events() as captured:
        yield captured


@pytest.fixture
def posix_event_queue() -> Iterator[EventQueue[Any]]:
    """A real queue of 10 events of 4,096 bytes, removed afterwards; `take_messages(queue.name)` empties it."""
    from eventpub.testing import posix_queue  # noqa: PLC0415, likewise

    with posix_queue() as events:
        yield events


@pytest.fixture(scope="session")
def eventpub_dev(request: pytest.FixtureRequest) -> Iterator[CollectedEvents]:
    """A sidecar and a collector for the whole run: `eventpub dev`, or the page that $EVENTPUB_PAGE names."""
    from eventpub.testing.collected import find_page, run_dev  # noqa: PLC0415, likewise

    version = request.config.getini("eventpub_version")
    if page := find_page(version):
        yield page
        return
    with run_dev(version=version) as running:
        yield running


@pytest.fixture
def collected_events(eventpub_dev: CollectedEvents) -> CollectedEvents:
    """What the collector takes and refuses while the test runs: events that really went through a sidecar."""
    eventpub_dev.reset()
    return eventpub_dev


def _configure(freezegun: Any) -> None:
    freezegun.configure(extend_ignore_list=list(_WAITING))


class _FreezegunFinder(MetaPathFinder):
    """Waits for freezegun to be imported, which takes too long for runs that do not use it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != "freezegun":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Configuring(spec.loader)
        return spec


class _Configuring(Loader):
    """Loads freezegun and configures it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _configure(module)
