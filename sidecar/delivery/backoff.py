"""How long to wait after a failed attempt: full-jitter exponential backoff, as a value.

The wait after failure N (0, 1, …) is drawn evenly between 0 and min_seconds * 2**N, at most max_seconds, so
many sidecars that fail together do not come back together. `Retry-After` is waited for first and the draw
added to it, for the same reason: a collector tells all of them the same number. Then the draw is as wide as
that number, within max_seconds, however few failures there were: 50 sidecars told to wait a minute would else
all be back within the second after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_MAX_DOUBLINGS = 64  # beyond any range of seconds, and no overflow in sight


@dataclass(frozen=True, slots=True)
class Backoff:
    """The state between two failures; a fresh one stands for success.

    Attributes:
        min_seconds: the longest wait after the first failure.
        max_seconds: the longest wait ever, `Retry-After` aside.
        attempt: failures so far.
    """

    min_seconds: float
    max_seconds: float
    attempt: int = 0

    def next(self, retry_after_seconds: float | None, randomness: random.Random) -> tuple[float, Backoff]:
        """Return how many seconds to wait after one more failure, and the backoff that counts it.

        Args:
            retry_after_seconds: what the collector asked for; a lower bound of the result.
            randomness: draws the wait.
        """
        asked_seconds = retry_after_seconds or 0.0
        doubled_seconds = self.min_seconds * 2 ** min(self.attempt, _MAX_DOUBLINGS)
        ceiling_seconds = min(self.max_seconds, max(doubled_seconds, asked_seconds))
        delay_seconds = asked_seconds + randomness.uniform(0, ceiling_seconds)
        return delay_seconds, replace(self, attempt=self.attempt + 1)
