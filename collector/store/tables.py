"""The tables of the SQLite file: one list of columns, and how a file of an earlier version becomes today's.

Version 1 had an index each on time, batch, kind, uuid and user. Version 2 has `batches` with fingerprints (see
`lookup`) in place of those on batch, uuid and user, whose keys are random: they cost more than the rows, and
the more the larger the table is.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from . import EventRow, dedupe, lookup

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x65767075  # "evpu": in the file's header, where `file` and SQLite look for it
SCHEMA_VERSION = 2  # PRAGMA user_version

ORIGIN = {  # of each event, beside what `EventRow` has of it
    "received_at": "REAL NOT NULL",  # seconds since 1970
    "batch_id": "TEXT NOT NULL",
    "key_name": "TEXT NOT NULL",
    "version": "TEXT NOT NULL",  # 2 or 2j
}
_TYPES = {
    "client_timestamp": "NUMERIC",
    "event": "TEXT NOT NULL",
}  # of the columns of EventRow that are not text
COLUMNS = {**ORIGIN, **{name: _TYPES.get(name, "TEXT") for name in EventRow._fields}}

INSERT = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608

_TRIM_EVENTS = 2_000  # in one transaction, for which a batch that comes meanwhile waits some 10 ms
_TRIM = """
DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < ? ORDER BY received_at LIMIT ?)
"""
_TRIM_BATCHES = """
DELETE FROM batches WHERE last_id < (SELECT coalesce(min(id), 9223372036854775807) FROM events)
"""

_DECLARED = ("id INTEGER PRIMARY KEY AUTOINCREMENT", *(f"{name} {kind}" for name, kind in COLUMNS.items()))
_SCHEMA = (
    f"CREATE TABLE events ({', '.join(_DECLARED)})",
    "CREATE INDEX events_by_time ON events (received_at)",
    "CREATE INDEX events_by_kind ON events (source, action, noun) WHERE source IS NOT NULL",
    "CREATE TABLE health (checks INTEGER NOT NULL)",
    "INSERT INTO health VALUES (0)",
    *dedupe.SCHEMA,
    *lookup.SCHEMA,
)


def prepare_tables(connection: sqlite3.Connection) -> bool:
    """Make the tables in an empty file, or bring those of an earlier version up to date; the caller commits.

    Returns:
        Whether the file is one of a collector, of this version or an earlier one.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID or not 1 <= version <= SCHEMA_VERSION:
        return False
    for target, migrate in enumerate(_MIGRATIONS[version - 1 :], version + 1):
        logger.info("store is brought to version %d, which takes a minute for 20 million events", target)
        migrate(connection)
        connection.execute(f"PRAGMA user_version = {target}")
    return True


def _replace_random_indexes(connection: sqlite3.Connection) -> None:
    for name in ("events_by_batch", "events_by_uuid", "events_by_user"):
        connection.execute(f"DROP INDEX IF EXISTS {name}")
    for statement in lookup.SCHEMA:
        connection.execute(statement)
    lookup.take_all(connection)


_MIGRATIONS = (_replace_random_indexes,)


def trim_events(connection: sqlite3.Connection, before: float) -> int:
    """Remove some of the events received before a time, and batches that have none left; return how many.

    Raises:
        sqlite3.Error: nothing was removed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        removed = connection.execute(_TRIM, (before, _TRIM_EVENTS)).rowcount
        if removed:
            connection.execute(_TRIM_BATCHES)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return removed
