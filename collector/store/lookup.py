"""How one event is found among millions by its uuid or its user, without an index of random keys.

Each batch has a row in `batches` that says which events it has, and holds four bytes of each event's uuid and
user, its fingerprints: what an index costs per event grows with the table, and this does not. A search reads
these, 80 MB for 20 million events, and then only the batches in which the bytes occur. Different values may
have the same fingerprint, one in four billion, so the events themselves are compared in the end.
"""

from __future__ import annotations

import zlib
from array import array
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from . import IncomingBatch

SCHEMA = (
    """
CREATE TABLE batches (
    first_id    INTEGER PRIMARY KEY, -- of its events in the table of events
    last_id     INTEGER NOT NULL,
    batch_id    TEXT NOT NULL,
    key_name    TEXT NOT NULL,
    received_at REAL NOT NULL,
    uuids       BLOB NOT NULL,       -- four bytes for each event, see collector/store/lookup.py
    users       BLOB NOT NULL
)
""",
    "CREATE INDEX batches_by_id ON batches (batch_id)",
)
_BYTES = 4
_INSERT = """
INSERT INTO batches (first_id, last_id, batch_id, key_name, received_at, uuids, users)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""


def take_fingerprints(values: Iterable[str | None]) -> bytes:
    """Return the fingerprints of values, in their order; that of a missing one is that of an empty text."""
    crcs = [zlib.crc32(value.encode()) if value else 0 for value in values]
    return array("I", crcs).tobytes()


def add_batch(connection: sqlite3.Connection, batch: IncomingBatch, last_id: int) -> None:
    """Note a batch whose events were just stored up to `last_id`; the caller commits."""
    rows = batch.events
    connection.execute(
        _INSERT,
        (
            last_id - len(rows) + 1,
            last_id,
            batch.batch_id,
            batch.key_name,
            batch.received_at,
            take_fingerprints([row.uuid for row in rows]),
            take_fingerprints([row.user_id for row in rows]),
        ),
    )


def take_all(connection: sqlite3.Connection) -> None:
    """Take the fingerprints of all events that are stored; the caller commits."""
    events = connection.execute(
        "SELECT id, batch_id, key_name, received_at, uuid, user_id FROM events ORDER BY id"
    )
    for (batch_id, key_name, received_at), group in groupby(events, key=lambda event: event[1:4]):
        rows = [*group]
        uuids, users = (take_fingerprints([row[place] for row in rows]) for place in (4, 5))
        # an id is missing where rows were removed; the batch has those of its first to its last all the same
        connection.execute(_INSERT, (rows[0][0], rows[-1][0], batch_id, key_name, received_at, uuids, users))


COLUMNS = ("uuid", "user_id", "batch_id")  # what events are found by


def find_ranges(connection: sqlite3.Connection, column: str, value: str) -> Iterable[tuple[int, int]]:
    """Return the first and the last id of each batch that may have an event with a value in one of `COLUMNS`.

    Raises:
        sqlite3.Error: the file cannot be read, or is not one of a collector.
    """
    return _batches_of(connection, value) if column == "batch_id" else _batches_with(connection, column, value)


def _batches_of(connection: sqlite3.Connection, batch_id: str) -> list[tuple[int, int]]:
    found = connection.execute("SELECT first_id, last_id FROM batches WHERE batch_id = ?", (batch_id,))
    return [*map(tuple, found)]


def _batches_with(connection: sqlite3.Connection, column: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield the first and the last id of the events of each batch that may have an event with that value."""
    wanted = take_fingerprints([value])
    blobs = {"uuid": "uuids", "user_id": "users"}[column]
    for first_id, last_id, found in connection.execute(
        f"SELECT first_id, last_id, {blobs} FROM batches ORDER BY first_id DESC"  # noqa: S608
    ):
        place = found.find(wanted)
        while place % _BYTES and place >= 0:  # across two fingerprints
            place = found.find(wanted, place + 1)
        if place >= 0:
            yield first_id, last_id
