"""A clock that a test moves."""

from __future__ import annotations


class Clock:
    """Seconds, monotonic or since the epoch, that stand still until `now` is changed."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
