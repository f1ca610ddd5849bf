"""What the feed keeps: stored and refused entries, in two rings, so that neither pushes out the other.

Entries of both share their ids, by which they are in order. A reader remembers a number of each ring.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from .ring import Ring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .ring import Group

_REFUSED_SHARE = 4  # a quarter of the memory: they are few, and larger
_NONE = sys.maxsize  # an id after all others


class Place(NamedTuple):
    """Where a reader is.

    Attributes:
        stored: the number of the last stored entry that it has.
        refused: the same of refused ones.
    """

    stored: int = 0
    refused: int = 0


class Portion(NamedTuple):
    """Entries that a reader got.

    Attributes:
        missed: how many had to go before the reader came.
        lines: each as JSON.
        place: where to read on.
        has_more: whether the limit left some out.
    """

    missed: int
    lines: list[str]
    place: Place
    has_more: bool


class Kept:
    """The newest entries.

    Args:
        max_events: how many of each outcome.
        max_bytes: how much memory their texts may take, for refused ones a quarter of it.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        refused_bytes = max_bytes // _REFUSED_SHARE
        self._stored = Ring(max_events, max_bytes - refused_bytes)
        self._refused = Ring(max_events, refused_bytes)
        self._last_id = 0

    def add_stored(self, head: str, texts: Sequence[str]) -> None:
        """Add what was stored with one request."""
        self._stored.add(self._last_id + 1, head, texts)
        self._last_id += len(texts)

    def add_refused(self, head: str, texts: Sequence[str], extras: Sequence[str]) -> None:
        """Add what was refused with one request."""
        self._refused.add(self._last_id + 1, head, texts, extras)
        self._last_id += len(texts)

    def clear(self) -> None:
        """Forget all entries; the ids and the numbers go on."""
        self._stored.clear()
        self._refused.clear()

    def read(self, place: Place, max_events: int, max_characters: int = sys.maxsize) -> Portion:
        """Return entries after a place, oldest first, until there are so many events or characters."""
        rings = (self._stored, self._refused)
        after = [max(number, ring.first - 1) for ring, number in zip(rings, place, strict=True)]
        missed = sum(after) - sum(place)
        waiting = [ring.groups_after(number) for ring, number in zip(rings, after, strict=True)]
        ahead: list[Group | None] = [next(groups, None) for groups in waiting]
        lines: list[str] = []
        characters = 0
        while True:
            ids = [group.first_id if group else _NONE for group in ahead]
            kind = ids.index(min(ids))
            group = ahead[kind]
            if group is None:
                return Portion(missed, lines, Place(*after), has_more=False)
            for line in group.lines(after[kind]):
                if len(lines) >= max_events or characters >= max_characters:
                    return Portion(missed, lines, Place(*after), has_more=True)
                lines.append(line)
                characters += len(line)
                after[kind] += 1
            ahead[kind] = next(waiting[kind], None)
