"""Fixtures for testing applications with pytest; `-p no:eventpub` turns them off.

A test run that uses none of them only pays for the import of `eventpub`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.queue.event_queue import EventQueue
    from eventpub.testing import MemoryQueue, Record


@pytest.fixture
def event_queue() -> Iterator[MemoryQueue[Any]]:
    """An `eventpub.testing.MemoryQueue`: an event queue without a kernel that shows what was put."""
    from eventpub.testing import MemoryQueue  # noqa: PLC0415, only who uses it pays for it

    events: MemoryQueue[Any]
    with MemoryQueue() as events:
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
