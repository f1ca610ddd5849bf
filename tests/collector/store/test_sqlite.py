"""Batches in SQLite: whole, once, and only if they say so."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from support.clocks import Clock

from eventpub.collector.store import EventRow, IncomingBatch, Outcome, Receipt
from eventpub.collector.store.sqlite import REMOVED, WAL_BYTES, SqliteStore
from eventpub.errors import ConfigError

DAY_SECONDS = 86400.0
NOBODY = 65534
ERRORS_HAVE_NAMES = sys.version_info >= (3, 11)


def open_store(path: Path, **changed) -> SqliteStore:
    options = {"synchronous": "full", "busy_timeout_seconds": 0.05, "dedupe_memory_seconds": 30 * DAY_SECONDS}
    return SqliteStore(path, **{**options, **changed})


def batch(
    batch_id: str = "b",
    *events: str,
    at: float = 0.0,
    body: bytes | None = b"body",
    key: str = "k",
    sent: bool = True,
    parents: tuple[str, ...] = (),
):
    rows = [EventRow("shop", "buy", "tea", None, 1.0, text, None, None, text) for text in events or ["{}"]]
    return IncomingBatch(
        key_name=key,
        batch_id=batch_id,
        deduplicate=sent,
        digest=body,
        version="2",
        received_at=at,
        events=rows,
        parents=parents,
    )


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "events.sqlite"


@pytest.fixture
def store(path) -> Iterator[SqliteStore]:
    with contextlib.closing(open_store(path)) as store:
        yield store


def read(path: Path, query: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def stored(path: Path) -> list[str]:
    return [event for (event,) in read(path, "SELECT event FROM events ORDER BY id")]


def test_a_row_has_what_the_batch_and_the_event_say(store, path):
    row = EventRow("shop", "buy", "tea", "n", 1_700_000_000_000, "u", "c", "t2", '{"a":1}')
    assert store.add(IncomingBatch("key", "id", True, b"d", "2j", 12.5, [row])) == Receipt(Outcome.STORED)
    assert read(path, "SELECT * FROM events") == [
        (1, 12.5, "id", "key", "2j", "shop", "buy", "tea", "n", 1_700_000_000_000, "u", "c", "t2", '{"a":1}')
    ]


def test_the_same_id_and_body_are_stored_once(store, path):
    assert store.add(batch("b", "1", "2")).outcome is Outcome.STORED
    assert store.add(batch("b", "1", "2")).outcome is Outcome.DUPLICATE
    assert stored(path) == ["1", "2"]


def test_the_same_id_with_another_body_is_not_stored(store, path):
    store.add(batch("b", "1", body=b"one"))
    assert store.add(batch("b", "2", body=b"two")).outcome is Outcome.KEY_REUSED
    assert stored(path) == ["1"]


@pytest.mark.parametrize("parents", [("whole",), ("half", "whole"), ("whole", "before it")])
def test_a_part_of_a_batch_that_was_stored_is_not_stored_again(store, path, parents):
    store.add(batch("whole", "1", "2", body=b"one and two"))
    part = batch("part", "2", body=b"two", parents=parents)
    assert store.seen(part).outcome is Outcome.DUPLICATE
    assert store.add(part).outcome is Outcome.DUPLICATE
    assert stored(path) == ["1", "2"]


def test_parts_of_a_batch_that_was_not_stored_are_stored_once_each(store, path):
    for number in ("1", "2"):
        part = batch(f"part {number}", number, body=number.encode(), parents=("half", "whole"))
        assert store.seen(part) is None
        assert store.add(part).outcome is Outcome.STORED
        assert store.add(part).outcome is Outcome.DUPLICATE
    assert stored(path) == ["1", "2"]


@pytest.mark.parametrize("late", ["half", "whole"])
def test_a_batch_that_comes_after_a_part_of_it_is_not_stored(store, path, late):
    """Its sender has given that attempt up and taken the batch apart; a proxy had it meanwhile."""
    store.add(batch("part", "1", parents=("half", "whole")))
    assert store.add(batch(late, "1", "2")).outcome is Outcome.TAKEN_APART
    other = batch("other part", "2", body=b"two", parents=("half", "whole"))
    assert store.add(other).outcome is Outcome.STORED
    assert stored(path) == ["1", "2"]


def test_a_parent_of_another_key_says_nothing(store):
    store.add(batch("whole", "1", key="one"))
    assert store.add(batch("part", "1", key="two", parents=("whole",))).outcome is Outcome.STORED


def test_a_body_that_was_not_read_is_known_by_its_id_alone(store):
    store.add(batch("stored", "1"))
    store.add(batch("part", "1", parents=("whole",)))
    assert store.seen(batch("stored", body=None)).outcome is Outcome.DUPLICATE
    assert store.seen(batch("another part", body=None, parents=("stored",))).outcome is Outcome.DUPLICATE
    assert store.seen(batch("whole", body=None)) is None
    assert store.seen(batch("unknown", body=None)) is None


def test_ids_of_different_keys_have_nothing_to_do_with_each_other(store, path):
    store.add(batch("b", "1", key="one"))
    assert store.add(batch("b", "2", key="two")).outcome is Outcome.STORED
    assert stored(path) == ["1", "2"]


def test_a_batch_without_an_id_of_its_sender_is_stored_every_time(store, path):
    for _ in range(2):
        assert store.add(batch("b", "1", sent=False)).outcome is Outcome.STORED
    assert stored(path) == ["1", "1"]


def test_a_batch_that_fails_leaves_neither_events_nor_its_id(store, path):
    broken = batch("b", "1", "2")
    rows = [broken.events[0], broken.events[1]._replace(event=None)]
    failed = store.add(IncomingBatch("k", "b", True, b"body", "2", 0.0, rows))
    assert failed.outcome is Outcome.UNAVAILABLE
    assert "NOT NULL" in failed.reason
    assert failed.code == ("SQLITE_CONSTRAINT_NOTNULL" if ERRORS_HAVE_NAMES else "IntegrityError")
    assert store.add(broken).outcome is Outcome.STORED
    assert stored(path) == ["1", "2"]


def test_ids_survive_a_restart(path):
    for expected in (Outcome.STORED, Outcome.DUPLICATE):
        with contextlib.closing(open_store(path)) as store:
            assert store.add(batch()).outcome is expected


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


def test_an_id_is_forgotten_after_its_time_and_not_before(path, clock):
    with contextlib.closing(open_store(path, dedupe_memory_seconds=10, monotonic=clock)) as store:
        store.add(batch("b"))
        clock.now = 9.9
        assert store.add(batch("b")).outcome is Outcome.DUPLICATE
        clock.now = 10.1
        assert store.add(batch("b")).outcome is Outcome.STORED


def test_a_time_of_day_that_jumps_ahead_and_back_makes_no_id_forgotten(store):
    store.add(batch("b", at=1e9))
    for number in range(20):
        store.add(batch(f"ahead {number}", at=1e9 + 31 * DAY_SECONDS))
    assert store.add(batch("b", at=1e9)).outcome is Outcome.DUPLICATE


def test_ids_stay_while_no_collector_runs(path, clock):
    """However long that is: the only clock that could tell is the one that may be wrong."""
    with contextlib.closing(open_store(path, dedupe_memory_seconds=10, monotonic=clock)) as store:
        store.add(batch("b"))
        clock.now = 8
        store.add(batch("c"))
    clock.now = 1000
    with contextlib.closing(open_store(path, dedupe_memory_seconds=10, monotonic=clock)) as store:
        assert store.add(batch("b")).outcome is Outcome.DUPLICATE
        clock.now = 1012  # as the youngest of them may come from a clock that was ahead
        assert store.add(batch("b")).outcome is Outcome.STORED
        assert store.add(batch("c")).outcome is Outcome.DUPLICATE


def test_ids_written_under_a_clock_that_was_ahead_age_from_now_on(path, clock):
    with contextlib.closing(open_store(path)) as store:
        store.add(batch("b"))
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE batch_ids SET received_at = received_at + 1e9")
    with contextlib.closing(open_store(path, dedupe_memory_seconds=10, monotonic=clock)) as store:
        clock.now = 9
        assert store.add(batch("b")).outcome is Outcome.DUPLICATE


def test_forgetting_takes_a_few_ids_at_a_time_and_still_catches_up(path, clock):
    with contextlib.closing(open_store(path, dedupe_memory_seconds=10, monotonic=clock)) as store:
        for number in range(100):
            clock.now = number / 100
            store.add(batch(f"old {number}"))
        clock.now = 1000
        counts = []
        for number in range(20):
            store.add(batch(f"new {number}"))
            counts += read(path, "SELECT count(*) FROM batch_ids WHERE batch_id LIKE 'old%'")[0]
        assert counts[0] > 90
        assert counts[-1] == 0


def test_a_locked_file_is_unavailable_until_it_is_free(store, path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        busy = "SQLITE_BUSY" if ERRORS_HAVE_NAMES else "OperationalError"
        assert store.add(batch()) == Receipt(Outcome.UNAVAILABLE, "database is locked", code=busy)
        assert store.health().reason == "database is locked"
        other.execute("COMMIT")
    assert store.add(batch()).outcome is Outcome.STORED


def test_a_reader_does_not_stop_the_writer(store, path):
    store.add(batch("b", "1"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchall()
        assert store.add(batch("c", "2")).outcome is Outcome.STORED


def test_health_writes_nothing_and_waits_for_nobody(store, path):
    store.add(batch("b", "1"))
    before = {name: path.with_name(path.name + name).read_bytes() for name in ("", "-wal")}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.health().writable  # as the last batch found it
        other.execute("ROLLBACK")
    assert {name: path.with_name(path.name + name).read_bytes() for name in before} == before


def test_health_after_a_failure_looks_whether_it_is_over(store, path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.add(batch("b", "1"))
        assert not store.health().writable
        other.execute("ROLLBACK")
    assert store.health().writable
    assert store._connection.execute("PRAGMA busy_timeout").fetchone() == (50,)


def test_a_disk_with_room_for_less_than_the_batch_that_failed_is_not_ready(store):
    store.add(batch("b", "1"))
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 4}")  # as a full disk: small batches fit
    assert store.add(batch("c", "x" * 100_000)).outcome is Outcome.UNAVAILABLE
    assert not store.health().writable
    assert not store.health().writable
    store._connection.execute(f"PRAGMA max_page_count = {pages + 1_000}")
    assert store.health().writable
    assert store._connection.execute("SELECT typeof(checks) FROM health").fetchall() == [("integer",)]
    assert store.add(batch("c", "x" * 100_000)).outcome is Outcome.STORED


def test_the_wal_shrinks_again_once_nobody_reads(path):
    with contextlib.closing(open_store(path, synchronous="normal")) as store:
        store.add(batch("b", "1"))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM events").fetchall()
            for number in range(7):
                store.add(batch(f"large {number}", "x" * 2**22))
        wal = path.with_name(path.name + "-wal")
        assert wal.stat().st_size > 1.2 * WAL_BYTES
        for number in range(2):  # the first writes all of it back, the second begins anew
            store.add(batch(f"small {number}"))
        assert wal.stat().st_size <= WAL_BYTES


def test_health_tells_how_many_events_there_ever_were(store, path):
    assert (store.health().writable, store.health().events_stored) == (True, 0)
    store.add(batch("b", "1", "2", "3"))
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM events")
    assert store.health().events_stored == 3


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
def test_commits_are_as_durable_as_configured(path, synchronous, level):
    with contextlib.closing(open_store(path, synchronous=synchronous)) as store:
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    "condition",
    ["source = 's' AND action = 'a'", "received_at > 9"],
)
@pytest.mark.usefixtures("store")
def test_events_are_found_by_an_index(path, condition):
    (plan,) = read(path, f"EXPLAIN QUERY PLAN SELECT event FROM events WHERE {condition}")
    assert plan[3].startswith("SEARCH events USING INDEX")


def test_two_stores_may_share_a_file(path):
    with contextlib.closing(open_store(path)) as one, contextlib.closing(open_store(path)) as two:
        assert one.add(batch("b")).outcome is Outcome.STORED
        assert two.add(batch("b")).outcome is Outcome.DUPLICATE


def test_files_that_are_not_ours_are_left_alone(tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"no database " * 100)
    with pytest.raises(
        ConfigError, match=r"\[collector\] store.path = .*text: cannot be opened: file is not a data"
    ):
        open_store(text)
    assert text.read_bytes() == b"no database " * 100
    other = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE events (id)")
    with pytest.raises(ConfigError, match="is not a file of this collector"):
        open_store(other)
    assert read(other, "SELECT name FROM sqlite_master") == [("events",)]


def test_a_file_of_another_schema_is_left_alone(path):
    open_store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(ConfigError, match="is not a file of this collector"):
        open_store(path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing/events\.sqlite: cannot be opened"):
        open_store(tmp_path / "missing" / "events.sqlite")


@pytest.mark.parametrize("names", [["", "-wal", "-shm"], [""], ["-wal"]], ids=["all", "the-file", "the-wal"])
def test_nothing_is_stored_in_files_that_were_removed(store, path, names):
    store.add(batch("b", "1"))
    for name in names:
        path.with_name(path.name + name).unlink()
    assert store.add(batch("c", "2")) == Receipt(Outcome.UNAVAILABLE, REMOVED, code="removed")
    assert store.add(batch("b", "1")) == Receipt(
        Outcome.UNAVAILABLE, REMOVED, code="removed"
    )  # its events are gone, too
    assert store.health().reason == REMOVED


def test_nothing_is_stored_in_a_file_that_another_one_replaced(store, path, tmp_path):
    open_store(tmp_path / "another").close()
    (tmp_path / "another").replace(path)
    assert store.add(batch()) == Receipt(Outcome.UNAVAILABLE, REMOVED, code="removed")
    assert store.health().reason == REMOVED


def test_a_store_behind_a_link_is_written_to(path, tmp_path):
    path.symlink_to(tmp_path / "real.sqlite")
    with contextlib.closing(open_store(path)) as store:
        assert store.add(batch("b", "1")).outcome is Outcome.STORED
        (tmp_path / "real.sqlite-wal").unlink()
        assert store.health().reason == REMOVED


@contextlib.contextmanager
def ordinary_user(folder: Path) -> Iterator[None]:
    """Be somebody whom modes of files stop, and who owns what is in `folder`, as root or not."""
    user = os.geteuid()
    if user == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_may_only_be_read_is_refused_at_the_start():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others than root
        path = Path(folder) / "events.sqlite"
        open_store(path).close()
        path.chmod(0o400)
        with (
            ordinary_user(path.parent),
            pytest.raises(ConfigError, match="cannot be opened: attempt to write a readonly database"),
        ):
            open_store(path)


class StoreAgainstModel(RuleBasedStateMachine):
    """Whatever comes in whatever order: the file holds what a dict of ids to bodies says."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "events.sqlite"
        self.open()
        self.bodies: dict[tuple[str, str], bytes] = {}
        self.events: list[str] = []
        self.number = 0

    def open(self) -> None:
        self.store = open_store(self.path, synchronous="normal")

    def teardown(self) -> None:
        self.store.close()
        assert stored(self.path) == self.events
        self.folder.cleanup()

    @rule(
        key=st.sampled_from("kl"),
        batch_id=st.sampled_from("abc"),
        body=st.sampled_from([b"1", b"2"]),
        count=st.integers(1, 3),
        sent=st.booleans(),
    )
    def add(self, key, batch_id, body, count, sent):
        self.number += 1
        texts = [f"{self.number}.{index}" for index in range(count)]
        outcome = self.store.add(batch(batch_id, *texts, body=body, key=key, sent=sent)).outcome
        known = self.bodies.get((key, batch_id)) if sent else None
        if known is None:
            assert outcome is Outcome.STORED
            self.events += texts
            if sent:
                self.bodies[key, batch_id] = body
        else:
            assert outcome is (Outcome.DUPLICATE if known == body else Outcome.KEY_REUSED)

    @rule()
    def restart(self):
        self.store.close()
        self.open()

    @rule()
    def count(self):
        assert self.store.health().events_stored == len(self.events)


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
