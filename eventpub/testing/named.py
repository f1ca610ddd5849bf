"""Events by their names, for a test to look at."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from eventpub.pipeline import name_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import Enum


class NamedEvents(list[Any]):
    """The events of one name or pattern, oldest first."""

    def __init__(self, events: Iterable[Any], pattern: str) -> None:
        everything = list(events)
        super().__init__(event for event in everything if fnmatchcase(name_of(event), pattern))
        self._pattern = pattern
        self._all_names = Counter(map(name_of, everything))

    def one(self) -> Any:
        """Return the only one of these events.

        Raises:
            AssertionError: there is none, or there are several; the message lists what there is.
        """
        if len(self) != 1:
            there = ", ".join(f"{count} {name}" for name, count in self._all_names.items()) or "none"
            raise AssertionError(f"{len(self)} events are named {self._pattern!r}, not one; captured: {there}")
        return self[0]


def find_named(events: Iterable[Any], name: str | Enum | type) -> NamedEvents:
    """Return the events of a name.

    Args:
        events: all there are.
        name: the name, or a pattern such as "shop.*"; or the class of a typed event.
    """
    declared = getattr(name, "__event_name__", None)
    return NamedEvents(events, text_of(name) if declared is None else declared)
