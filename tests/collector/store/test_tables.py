"""A file of an earlier version becomes one of today, with every event in it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from eventpub.collector.reading.opening import open_reader
from eventpub.collector.reading.reader import COLUMNS as READ
from eventpub.collector.reading.reader import Condition
from eventpub.collector.store import EventRow, IncomingBatch, Outcome
from eventpub.collector.store.address import StoreAddress
from eventpub.collector.store.sqlite import SqliteStore
from eventpub.collector.store.tables import APPLICATION_ID, COLUMNS, ORIGIN, SCHEMA_VERSION
from eventpub.errors import ConfigError

# what version 1 made of an empty file
VERSION_1 = f"""
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, received_at REAL NOT NULL, batch_id TEXT NOT NULL,
    key_name TEXT NOT NULL, version TEXT NOT NULL, source TEXT, action TEXT, noun TEXT, name TEXT,
    client_timestamp NUMERIC, uuid TEXT, correlation_id TEXT, user_id TEXT, event TEXT NOT NULL);
CREATE INDEX events_by_time ON events (received_at);
CREATE INDEX events_by_batch ON events (batch_id);
CREATE INDEX events_by_kind ON events (source, action, noun) WHERE source IS NOT NULL;
CREATE INDEX events_by_uuid ON events (uuid) WHERE uuid IS NOT NULL;
CREATE INDEX events_by_user ON events (user_id) WHERE user_id IS NOT NULL;
CREATE TABLE health (checks INTEGER NOT NULL);
INSERT INTO health VALUES (0);
CREATE TABLE batch_ids (key_name TEXT NOT NULL, batch_id TEXT NOT NULL, digest BLOB NOT NULL,
    received_at REAL NOT NULL, PRIMARY KEY (key_name, batch_id)) WITHOUT ROWID;
CREATE INDEX batch_ids_by_age ON batch_ids (received_at);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
"""


def open_store(path: Path) -> SqliteStore:
    return SqliteStore(path, synchronous="normal", busy_timeout_seconds=1, dedupe_memory_seconds=3600)


def row(uuid: str, user: str = "u") -> EventRow:
    return EventRow("s", "a", "n", None, 1.0, uuid, None, user, f'{{"uuid":"{uuid}"}}')


def batch(batch_id: str, *rows: EventRow) -> IncomingBatch:
    return IncomingBatch("key", batch_id, True, batch_id.encode(), "2", 1.0, rows)


def find(path: Path, column: str, value: str) -> list[str]:
    with contextlib.closing(open_reader(StoreAddress("sqlite", str(path)))) as reader:
        return [found[READ.index("uuid")] for found in reader.find([Condition(column, value)])]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of version 1 with 300 batches of 1 to 3 events, some of which were removed since."""
    path = tmp_path / "events.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(VERSION_1)
        for number in range(300):
            for index in range(number % 3 + 1):
                connection.execute(
                    "INSERT INTO events VALUES"
                    " (NULL, ?, ?, 'key', '2', 's', 'a', 'n', NULL, 1, ?, NULL, ?, '{}')",
                    (float(number), f"b{number}", f"{number}-{index}", f"user{number % 7}"),
                )
            connection.execute(
                "INSERT INTO batch_ids VALUES ('key', ?, ?, 1)", (f"b{number}", f"b{number}".encode())
            )
        connection.execute("DELETE FROM events WHERE uuid = '5-1'")
    return path


def test_a_file_of_version_1_is_brought_up_to_date_and_every_event_is_found(old: Path) -> None:
    with contextlib.closing(open_store(old)) as store:
        assert store.add(batch("b7")).outcome is Outcome.DUPLICATE
        assert store.add(batch("new", row("n-0"), row("n-1"))).outcome is Outcome.STORED
        assert store.health().events_stored == 602
    with contextlib.closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        kept = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")]
        stored = [uuid for (uuid,) in connection.execute("SELECT uuid FROM events")]
    assert not {"events_by_batch", "events_by_uuid", "events_by_user"} & set(kept)
    for uuid in ("0-0", "5-0", "5-2", "299-2", "n-1"):
        assert find(old, "uuid", uuid) == [uuid]
    assert find(old, "uuid", "5-1") == []
    assert find(old, "batch_id", "b5") == ["5-0", "5-2"]
    assert sorted(find(old, "user_id", "user3")) == sorted(
        uuid for uuid in stored if not uuid.startswith("n") and int(uuid.partition("-")[0]) % 7 == 3
    )


def test_a_migration_that_fails_half_way_leaves_the_file_as_it_was(old: Path) -> None:
    before = old.read_bytes()
    with contextlib.closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("CREATE TABLE batches (taken INTEGER)")  # so that the migration fails half-way
    with pytest.raises(ConfigError):
        open_store(old)
    with contextlib.closing(sqlite3.connect(old)) as connection, connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute("DROP TABLE batches")
    assert len(old.read_bytes()) >= len(before)
    open_store(old).close()
    assert find(old, "uuid", "299-2") == ["299-2"]


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, 1000])
def test_a_file_of_a_later_version_is_left_alone(old: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(old)) as connection, connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(ConfigError, match="not a file of this collector"):
        open_store(old)


def test_a_new_file_has_one_column_for_each_field_of_a_row(tmp_path: Path) -> None:
    open_store(tmp_path / "new.sqlite").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "new.sqlite")) as connection:
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(events)")]
    assert columns == ["id", *COLUMNS] == ["id", *ORIGIN, *EventRow._fields]
