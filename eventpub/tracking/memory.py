"""A backend that keeps events where a test or a shell can look at them."""

from __future__ import annotations

from collections import deque
from typing import Any

from eventpub.pipeline import name_of

from .snapshot import snapshot


class MemoryBackend:
    """Keeps events as they were when they were sent.

    Args:
        max_events: how many of the latest are kept; all by default.
    """

    only_reads = True  # it keeps copies

    def __init__(self, max_events: int | None = None) -> None:
        self._events: deque[Any] = deque(maxlen=max_events)

    @property
    def events(self) -> list[Any]:
        """The events kept, the oldest first."""
        return list(self._events)

    @property
    def names(self) -> list[str]:
        """The names of the events kept."""
        return [name_of(event) for event in self.events]

    def send(self, event: Any, /) -> None:
        """Keep a copy of one event."""
        self._events.append(snapshot(event))

    def clear(self) -> None:
        """Forget all events."""
        self._events.clear()
