"""What a metric is: declared once, for the code that tells its value and for the page that explains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as it is sent; a counter of Prometheus ends in `_total`.
        kind: `counter`, `gauge`, `histogram` or `timer`.
        words: what it counts.
        labels: what it is counted by, besides what holds for the whole process.
    """

    name: str
    kind: str
    words: str
    labels: tuple[str, ...] = ()


class Buckets(NamedTuple):
    """What a histogram has counted.

    Attributes:
        bounds: the upper ends of the buckets, without the last one, which has none.
        cumulated: how many values were at most as large as each of them; at the end, how many there were.
        sum: of all values.
    """

    bounds: Sequence[float]
    cumulated: Sequence[int]
    sum: float


Number = float | Mapping[tuple[str, ...], float]  # or several, by the values of a metric's labels
Value = Number | Buckets | None  # None where there is nothing yet
