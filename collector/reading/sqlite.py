"""Reads a SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from eventpub.collector.errors import StoreReadError
from eventpub.collector.store import lookup
from eventpub.collector.store.tables import trim_events

from .reader import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventpub.collector.store.address import StoreAddress

    from .reader import Condition

# SQLite has numbers for true and false, and one NULL for null and for what is not there
_AT_PATH = """
CASE WHEN json_type(event, ?) IN ('true', 'false', 'null') THEN json_type(event, ?)
ELSE CAST(json_extract(event, ?) AS TEXT) END = ?
""".strip()


class SqliteReader:
    """A `Reader` of a file; a uuid, a user or a batch is found by its fingerprint."""

    def __init__(self, address: StoreAddress, *, write: bool = False) -> None:
        self._path = address.path
        with self._words():
            uri = f"{self._path.resolve().as_uri()}?mode={'rw' if write else 'ro'}"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)
            self._connection.execute("SELECT 1 FROM batches LIMIT 1")

    def find(
        self, conditions: Sequence[Condition] = (), *, since: float = 0.0, newest_first: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Yield what `Reader.find` says."""
        where: list[str] = ["received_at >= ?"]
        values: list[object] = []
        for condition in conditions:
            if condition.column:
                where.append(f"{condition.column} = ?")
            else:
                where.append(_AT_PATH)
                values += ["$." + ".".join(f'"{part}"' for part in condition.field.split("."))] * 3
            values.append(condition.value)
        order = "DESC" if newest_first else "ASC"
        query = f"SELECT {', '.join(COLUMNS)} FROM events WHERE {' AND '.join(where)}"  # noqa: S608, no values
        fast = next((given for given in conditions if given.column in lookup.COLUMNS), None)
        with self._words():
            if fast is None or fast.column is None:
                yield from self._connection.execute(f"{query} ORDER BY id {order}", [since, *values])
                return
            ranges = sorted(lookup.find_ranges(self._connection, fast.column, fast.value), reverse=newest_first)
            for first_and_last in ranges:
                yield from self._connection.execute(
                    f"{query} AND id BETWEEN ? AND ? ORDER BY id {order}", [since, *values, *first_and_last]
                )

    def count(self, *, since: float = 0.0) -> int:
        """Return how many events were received at `since` or later."""
        with self._words():
            query = "SELECT count(*) FROM events WHERE received_at >= ?"
            (number,) = self._connection.execute(query, (since,)).fetchone()
        return int(number)

    def trim(self, before: float) -> int:
        """Remove some of the events received before a time; return how many."""
        with self._words():
            return trim_events(self._connection, before)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreReadError(str(self._path), str(error)) from error
