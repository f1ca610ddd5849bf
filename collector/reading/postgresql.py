"""Reads a PostgreSQL database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg

from eventpub.collector.errors import StoreReadError
from eventpub.collector.store.postgresql import TRIM

from .reader import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventpub.collector.store.address import StoreAddress

    from .reader import Condition


class PostgresqlReader:
    """A `Reader` of a database; only what is looked for in the event itself has to read all events.

    They are read here: `jsonb` refuses JSON that is stored (an escaped NUL), and one such event would
    end the search.
    """

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        with self._words():
            self._connection = psycopg.connect(address.where, connect_timeout=10)

    def find(
        self, conditions: Sequence[Condition] = (), *, since: float = 0.0, newest_first: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Yield what `Reader.find` says."""
        where: list[str] = ["received_at >= %s"]
        values: list[object] = [since]
        for condition in conditions:
            if condition.column:
                is_text = condition.column not in ("received_at", "client_timestamp")
                where.append(f"{condition.column}{'' if is_text else '::text'} = %s")
                values.append(condition.value)
        paths = [condition for condition in conditions if not condition.column]
        order = "DESC" if newest_first else "ASC"
        query = f"SELECT {', '.join(COLUMNS)} FROM events WHERE {' AND '.join(where)} ORDER BY id {order}"  # noqa: S608
        with self._words(), self._connection.transaction(), self._connection.cursor("find") as cursor:
            cursor.execute(query, values)
            for row in cursor:
                if all(condition.holds_in(row[-1]) for condition in paths):
                    yield row

    def count(self, *, since: float = 0.0) -> int:
        """Return how many events were received at `since` or later."""
        with self._words(), self._connection.transaction():
            found = self._connection.execute(
                "SELECT count(*) FROM events WHERE received_at >= %s", (since,)
            ).fetchone()
        return int(found[0]) if found else 0

    def trim(self, before: float) -> int:
        """Remove some of the events received before a time; return how many."""
        with self._words(), self._connection.transaction():
            return int(self._connection.execute(TRIM, (before,)).rowcount)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise StoreReadError(str(self._address), " ".join(str(error).split())) from error
