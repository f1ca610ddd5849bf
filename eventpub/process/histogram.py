"""A histogram as Prometheus has them: how many values were at most so large; 0.5 us a value."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ATTEMPT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)


class Histogram:
    """Counts values by size.

    Args:
        bounds: the upper ends of the buckets, rising; one more, without end, follows them.

    Attributes:
        sum: of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulate(self) -> list[int]:
        """Return for each bound how many values were at most as large, and at the end how many there were."""
        total, totals = 0, []
        for count in self._counts:
            total += count
            totals.append(total)
        return totals
