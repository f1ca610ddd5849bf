"""Counts since the last reset: of events by key and by name, of refusals by reason, and of both by second."""

from __future__ import annotations

import collections
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventpub.collector.store import EventRow

RATE_SECONDS = 180  # what the page plots

_MAX_KINDS = 1000  # of names, keys and reasons, which senders choose; others are counted together
_SHOWN = 50
_STORED, _REFUSED, _DUPLICATE = range(3)


class Tallies:
    """Counts; every method takes the counts of one request."""

    def __init__(self) -> None:
        self.totals = [0, 0, 0]
        self._keys: dict[str, list[int]] = {}
        self._names: collections.Counter[tuple[str | None, ...]] = collections.Counter()
        self._refusals: collections.Counter[tuple[str | None, ...]] = collections.Counter()
        self._seconds: collections.deque[list[int]] = collections.deque(maxlen=RATE_SECONDS)

    def add_stored(self, key_name: str, rows: Sequence[EventRow], now: float) -> None:
        """Count events that were stored."""
        self._add(key_name, _STORED, len(rows), now)
        _count(self._names, ((row.source, row.noun, row.action) for row in rows))

    def add_duplicate(self, key_name: str, count: int) -> None:
        """Count events that had been stored before, and came again."""
        self._add(key_name, _DUPLICATE, count, 0)

    def add_refused(
        self, key_name: str, kinds: Iterable[tuple[str, str | None]], count: int, now: float
    ) -> None:
        """Count what was refused: an error's code, and the field if there is one, of each that is known."""
        self._add(key_name, _REFUSED, count, now)
        _count(self._refusals, kinds)

    def to_json(self) -> dict[str, Any]:
        """Return all counts; of names and reasons, the most frequent."""
        return {
            "totals": dict(zip(("stored", "refused", "duplicate"), self.totals, strict=True)),
            "keys": [[key, *counts] for key, counts in sorted(self._keys.items())[:_SHOWN]],
            "names": [[*name, count] for name, count in self._names.most_common(_SHOWN)],
            "refusals": [[*kind, count] for kind, count in self._refusals.most_common(_SHOWN)],
            "seconds": [*self._seconds],
        }

    def _add(self, key_name: str, kind: int, count: int, now: float) -> None:
        self.totals[kind] += count
        if key_name not in self._keys and len(self._keys) >= _MAX_KINDS:
            key_name = "…"
        self._keys.setdefault(key_name, [0, 0, 0])[kind] += count
        if kind == _DUPLICATE:
            return
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        self._seconds[-1][1 + kind] += count


def _count(counter: collections.Counter[Any], kinds: Iterable[tuple[str | None, ...]]) -> None:
    counter.update(kinds)
    if len(counter) > _MAX_KINDS:
        kept = dict(counter.most_common(_MAX_KINDS // 2))
        others = counter.total() - sum(kept.values())
        width = len(next(iter(kept)))
        counter.clear()
        counter.update(kept)
        counter[("…", *itertools.repeat(None, width - 1))] += others
