"""A backend that keeps events for tests and shells."""

from __future__ import annotations

from collections import deque
from typing import Any

from eventpub.pipeline import name_of

from .snapshot import snapshot


class MemoryBackend:
    """Keeps copies of the events that it is sent.

    Args:
        max_events: how many of the latest to keep; all by default.
    """

    only_reads = True  # it keeps copies

    def __init__(self, max_events: int | None = None) -> None:
        self._events: deque[Any] = deque(maxlen=max_events)

    @property
    def events(self) -> list[Any]:
        """The kept events, oldest first."""
        return list(self._events)

    @property
    def names(self) -> list[str]:
        """The names of the kept events."""
        return [name_of(event) for event in self.events]

    def send(self, event: Any, /) -> None:
        """Keep a copy of one event."""
        self._events.append(snapshot(event))

    def clear(self) -> None:
        """Remove all events."""
        self._events.clear()
