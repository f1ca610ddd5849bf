"""What the events of a body may be: the seam between the reader and the three ways to read events."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from eventpub.collector.store import EventRow


class Limits(NamedTuple):
    """What an event must keep to.

    Attributes:
        max_event_bytes: the most that it may have as it is stored.
        is_strict: whether a field that the schema does not know makes it invalid.
    """

    max_event_bytes: int
    is_strict: bool = False


class Reading(NamedTuple):
    """The events of a body.

    Attributes:
        number: how many there are.
        events: reads them one after the other: the row of each, or why it is not valid.
    """

    number: int
    events: Iterator[EventRow | str]


class Form(Protocol):
    """One way to read events."""

    def read(self, array: bytes, limits: Limits, unknown: Counter[str]) -> Reading:
        """Take a JSON array of events apart.

        Args:
            array: the array.
            limits: what each event must keep to.
            unknown: counts the fields that the schema does not know, by id, as the events are read.

        Raises:
            ValueError: it is not such an array; reading the events may also raise it.
            RecursionError: it is nested too deeply.
        """
