"""The last entries of one outcome: those of one request are a group; old groups make room for new ones."""

from __future__ import annotations

import bisect
import sys
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GROUP_BYTES = 500  # of a group without its texts
_COMPACT_GROUPS = 1024  # so many may be gone before the list is cut
_LINE_ENDS = str.maketrans("\r\n", "  ")


@dataclass(frozen=True, slots=True)
class Group:
    """Entries that came with one request.

    Attributes:
        first_id: the id of the first one; those of the others follow.
        first: its number in the ring.
        head: JSON members that all of them have.
        texts: the event of each, as JSON.
        extras: further JSON members of each, where there are any.
        size_bytes: of memory.
    """

    first_id: int
    first: int
    head: str
    texts: Sequence[str]
    extras: Sequence[str]
    size_bytes: int

    @property
    def last(self) -> int:
        """Return the number of the last entry."""
        return self.first + len(self.texts) - 1

    def lines(self, after: int) -> Iterator[str]:
        """Yield the entries after a number, each as JSON in one line that ends with its event."""
        skipped = max(0, after + 1 - self.first)
        number = self.first_id + skipped
        for index in range(skipped, len(self.texts)):
            extra = self.extras[index] if self.extras else ""
            text = self.texts[index]
            if "\n" in text or "\r" in text:  # between tokens: JSON has none in strings
                text = text.translate(_LINE_ENDS)
            yield f'{{"id":{number},{self.head}{extra},"event":{text}}}'
            number += 1


_GONE = Group(0, 0, "", (), (), 0)


class Ring:
    """Keeps entries up to a number and up to a size, and numbers them without gaps.

    Args:
        max_events: how many.
        max_bytes: how much memory their texts may take.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._groups: list[Group] = []
        self._head = 0  # of the groups that are still there; in place of those before it stands `_GONE`
        self._bytes = 0
        self.last = 0

    @property
    def first(self) -> int:
        """Return the number of the oldest entry; of the next one if there is none."""
        return self._groups[self._head].first if self._head < len(self._groups) else self.last + 1

    def add(self, first_id: int, head: str, texts: Sequence[str], extras: Sequence[str] = ()) -> None:
        """Add what came with one request; only the last ones if there are more than have room."""
        surplus = max(0, len(texts) - self._max_events)
        self.last += surplus
        if surplus:
            texts, extras = texts[surplus:], extras[surplus:]
        size_bytes = _GROUP_BYTES + sum(map(sys.getsizeof, texts)) + sum(map(sys.getsizeof, extras))
        self._groups.append(Group(first_id + surplus, self.last + 1, head, texts, extras, size_bytes))
        self._bytes += size_bytes
        self.last += len(texts)
        while self.last - self.first + 1 > self._max_events or (
            self._bytes > self._max_bytes and self._head < len(self._groups) - 1
        ):
            self._bytes -= self._groups[self._head].size_bytes
            self._groups[self._head] = _GONE
            self._head += 1
        if self._head > _COMPACT_GROUPS:
            del self._groups[: self._head]
            self._head = 0

    def clear(self) -> None:
        """Forget all entries; the numbers go on."""
        self._groups, self._head, self._bytes = [], 0, 0

    def groups_after(self, number: int) -> Iterator[Group]:
        """Yield the groups that have entries after a number, oldest first."""
        start = bisect.bisect_left(self._groups, number + 1, lo=self._head, key=attrgetter("last"))
        for index in range(start, len(self._groups)):
            yield self._groups[index]
