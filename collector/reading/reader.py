"""What can be asked of a store, whichever engine keeps it.

SQLite and PostgreSQL answer by SQL. JetStream has no indexes and is read from its beginning; what it forgets is
its own affair (`store.keep` is the stream's `max_age`). A topic of Kafka is read by its consumers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from eventpub.collector.store import EventRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS = ("received_at", "key_name", "batch_id", "version", *EventRow._fields)
ALIASES = {"user": "user_id", "batch": "batch_id", "key": "key_name"}  # shorter names of columns


class Condition(NamedTuple):
    """What a field of an event must be.

    Attributes:
        field: a column, or a path into the event such as `user.plan`.
        value: as text.
    """

    field: str
    value: str

    @property
    def column(self) -> str | None:
        """Return the column that it is about, or None for a path into the event."""
        name = ALIASES.get(self.field, self.field)
        return name if name in COLUMNS else None

    def holds_in(self, event: str) -> bool:
        """Return whether a path into the event leads to this value; engines whose JSON is not ours ask here."""
        found: Any = json.loads(event)
        for part in self.field.split("."):
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        return text == self.value


class Reader(Protocol):
    """Reads a store; raises StoreReadError where it cannot."""

    def find(
        self, conditions: Sequence[Condition] = (), *, since: float = 0.0, newest_first: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Yield `COLUMNS` of each event that meets all conditions and was received at `since` or later."""

    def count(self, *, since: float = 0.0) -> int:
        """Return about how many events were received at `since` or later."""

    def trim(self, before: float) -> int:
        """Remove some of the events received before a time, in one short transaction; return how many."""

    def close(self) -> None:
        """Let go of the store."""
