"""How many attempts may be in flight: one while the collector fails, then one more for each round of
successes.

A failing collector is probed by a single attempt after a full-jitter backoff; when it returns, concurrency
grows back step by step, so a fleet of sidecars does not fall upon it all at once. A round is as many
successes as may be in flight: one more for each success would double their number in the time of one answer.

One failure among successes is that batch's own trouble, and it waits alone. If the collector said no, though,
it may have too much to do: half as many attempts may be in flight then, but never only one, after a short
pause. Two failures in a row with no success meanwhile are the collector's.
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
        failing: whether the collector fails, as far as the last attempts tell.
        allowed: how many attempts may be in flight.
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
        self.allowed = 1  # a start after an outage is a return, too
        self._concurrency = concurrency
        self._first_backoff = self._backoff = backoff
        self._random = randomness
        self._clock = clock
        self._successes = 0
        self._round = 0  # successes since `allowed` has changed
        self._failures = 1  # in a row; before the first success each counts as the second
        self._closed_until = 0.0

    def seconds_to_open(self) -> float | None:
        """Return in how many seconds an attempt may start: 0 for now, None for when one in flight ends."""
        if self.in_flight >= self.allowed:
            return None
        return max(0.0, self._closed_until - self._clock())

    def has_spare(self) -> bool:
        """Tell whether one more attempt would leave room for another."""
        return self.in_flight + 1 < self.allowed

    def enter(self) -> int:
        """Count an attempt in, and return what `failed` wants to know of it."""
        self.in_flight += 1
        return self._successes

    def leave(self) -> None:
        """Count an attempt out that says nothing about how the collector is."""
        self.in_flight -= 1

    def succeeded(self) -> None:
        """Count an attempt that the collector answered properly."""
        self.in_flight -= 1
        self.failing = False
        self._backoff = self._first_backoff
        self._successes += 1
        self._failures = 0
        self._round += 1
        if self._round >= self.allowed < self._concurrency:
            self.allowed += 1
            self._round = 0

    def failed(
        self,
        entered: int,
        retry_after_seconds: float | None = None,
        attempts: int = 1,
        *,
        is_silent: bool = False,
    ) -> float:
        """Count an attempt out that failed, and return how many seconds its batch has to wait.

        Where the collector fails, the gate closes, and the batch waits as long as that. A batch that has failed
        more often than the collector has in a row is a cause of its own, and waits by its own count: the others
        are not held up by it again and again.

        Args:
            entered: what `enter` returned for it.
            retry_after_seconds: what the collector asked for.
            attempts: how often this batch has failed, this time included.
            is_silent: whether there was no answer.
        """
        self.in_flight -= 1
        is_own = retry_after_seconds is None and (entered < self._successes or not self._failures)
        self._failures += 1
        closed_seconds = self._closed_until - self._clock()
        if is_own:
            if not is_silent and closed_seconds <= 0:
                self.allowed = max(min(2, self.allowed), self.allowed // 2)
                self._round = 0
                closed_seconds, _ = self._first_backoff.next(None, self._random)
                self._closed_until = self._clock() + closed_seconds
            return max(closed_seconds, self._draw_own(attempts, retry_after_seconds))
        self.allowed = 1
        self._round = 0
        if not self.failing or closed_seconds <= 0:  # failures of attempts already in flight add nothing
            closed_seconds, self._backoff = self._backoff.next(retry_after_seconds, self._random)
            self._closed_until = self._clock() + closed_seconds
        self.failing = True
        if attempts <= self._backoff.attempt:
            return closed_seconds
        return max(closed_seconds, self._draw_own(attempts, retry_after_seconds))

    def passed_over(self, attempts: int) -> float:
        """Count an attempt out whose batch alone has to wait; return for how many seconds."""
        self.in_flight -= 1
        return self._draw_own(attempts, None)

    def hurry(self) -> None:
        """Allow one attempt now, even if the gate is closed for longer."""
        self._closed_until = 0.0

    def _draw_own(self, attempts: int, retry_after_seconds: float | None) -> float:
        return replace(self._first_backoff, attempt=attempts - 1).next(retry_after_seconds, self._random)[0]
