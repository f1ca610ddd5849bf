"""How many attempts may be in flight: one while the collector fails, then one more for each round of successes.

A failing collector is probed by a single attempt after a full-jitter backoff; when it returns, concurrency
grows back step by step, so a fleet of sidecars does not fall upon it all at once. A round is as many successes
as may be in flight: one more for each success would double their number in the time of one answer.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from .backoff import Backoff


class Gate:
    """Admits attempts.

    Args:
        concurrency: the most that may be in flight, at least 1.
        backoff: the first delay and the longest.
        randomness: draws the delays.
        clock: monotonic seconds.

    Attributes:
        in_flight: attempts that were entered and have neither succeeded nor failed.
        failing: whether the last attempt failed.
    """

    def __init__(
        self,
        concurrency: int,
        backoff: Backoff,
        *,
        randomness: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.in_flight = 0
        self.failing = False
        self._concurrency = concurrency
        self._first_backoff = self._backoff = backoff
        self._random = randomness
        self._clock = clock
        self._allowed = 1  # a start after an outage is a return, too
        self._round = 0  # successes since `_allowed` has changed
        self._closed_until = 0.0

    def seconds_to_open(self) -> float | None:
        """Return in how many seconds an attempt may start: 0 now, None when one in flight ends."""
        if self.in_flight >= self._allowed:
            return None
        return max(0.0, self._closed_until - self._clock())

    def enter(self) -> None:
        """Count an attempt in."""
        self.in_flight += 1

    def leave(self) -> None:
        """Count an attempt out that ended before the collector was asked."""
        self.in_flight -= 1

    def succeeded(self) -> None:
        """Count an attempt out that the collector answered as it should."""
        self.in_flight -= 1
        self.failing = False
        self._backoff = self._first_backoff
        self._round += 1
        if self._round >= self._allowed < self._concurrency:
            self._allowed += 1
            self._round = 0

    def failed(self, retry_after_seconds: float | None = None, attempts: int = 1) -> float:
        """Count an attempt out that failed, and return how many seconds its batch has to wait.

        The batch waits while the gate is closed. One that has failed more often than the collector has in a row
        is a cause of its own, and waits by its own count: the others are not held up by it again and again.

        Args:
            retry_after_seconds: what the collector asked for.
            attempts: how often this batch has failed, this time included.
        """
        self.in_flight -= 1
        self._allowed = 1
        self._round = 0
        closed_seconds = self._closed_until - self._clock()
        if not self.failing or closed_seconds <= 0:  # the others in flight when it broke down are no news
            closed_seconds, self._backoff = self._backoff.next(retry_after_seconds, self._random)
            self._closed_until = self._clock() + closed_seconds
        self.failing = True
        if attempts <= self._backoff.attempt:
            return closed_seconds
        own_backoff = replace(self._first_backoff, attempt=attempts - 1)
        return max(closed_seconds, own_backoff.next(retry_after_seconds, self._random)[0])

    def hurry(self) -> None:
        """Allow one attempt now, however long the gate was to stay closed."""
        self._closed_until = 0.0
