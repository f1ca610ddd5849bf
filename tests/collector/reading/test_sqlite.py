"""One event is found among many by its uuid, its user or its batch."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import Command

from eventpub.collector.store import EventRow, IncomingBatch, lookup
from eventpub.collector.store.sqlite import SqliteStore


def batch(batch_id: str, uuids: list[str | None], users: list[str | None]) -> IncomingBatch:
    rows = [
        EventRow(None, None, None, None, None, uuid, None, user, json.dumps({"uuid": uuid}))
        for uuid, user in zip(uuids, users, strict=True)
    ]
    return IncomingBatch("key", batch_id, False, b"", "2j", 1.5, rows)


@contextlib.contextmanager
def store(path: Path):
    with contextlib.closing(
        SqliteStore(path, synchronous="normal", busy_timeout_seconds=1, dedupe_memory_seconds=3600)
    ) as opened:
        yield opened


WORDS = st.none() | st.sampled_from(
    ["", "a", "b", "ab", "é", "\x00", "plumless", "buckeroo"]
)  # the last two collide


@given(
    st.lists(st.lists(st.tuples(WORDS, WORDS), max_size=5), max_size=5),
    st.sampled_from(["uuid", "user_id"]),
    WORDS,
)
def test_exactly_the_events_with_the_value_are_found(batches, column, wanted):
    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        from eventpub.collector.store.tables import INSERT, prepare_tables  # noqa: PLC0415

        assert prepare_tables(connection)
        for number, pairs in enumerate(batches):
            made = batch(f"b{number}", [uuid for uuid, _ in pairs], [user for _, user in pairs])
            if pairs:
                connection.executemany(INSERT, [(1.5, made.batch_id, "key", "2j", *row) for row in made.events])
                (last_id,) = connection.execute("SELECT last_insert_rowid()").fetchone()
                lookup.add_batch(connection, made, last_id)
        found = [
            row["id"]
            for first_and_last in lookup.find_ranges(connection, column, wanted or "")
            for row in connection.execute(
                f"SELECT id FROM events WHERE id BETWEEN ? AND ? AND {column} = ?",
                [*first_and_last, wanted or ""],
            )
        ]
        expected = [
            row["id"]
            for row in connection.execute(f"SELECT id FROM events WHERE {column} = ?", (wanted or "",))
        ]
    assert sorted(found) == expected


def test_the_command_prints_what_is_stored_while_a_collector_writes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    eventpub, path = Command(capfd), tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.add(batch("b1", ["u1", "u2"], ["t1", "t2"]))
        opened.add(batch("b2", ["u3"], ["t2"]))
        by_uuid = eventpub("store", "find", "--uuid", "u2", path)
        by_user = eventpub("store", "find", "--user", "t2", path)
        by_batch = eventpub("store", "find", "--batch", "b1", "--limit", "1", path)
        none = eventpub("store", "find", "--uuid", "u9", path)
    assert json.loads(by_uuid.out) == {
        "received_at": 1.5,
        "key_name": "key",
        "batch_id": "b1",
        "version": "2j",
        "event": {"uuid": "u2"},
    }
    assert [json.loads(line)["event"]["uuid"] for line in by_user.out.splitlines()] == ["u3", "u2"]
    assert (len(by_batch.out.splitlines()), by_batch.code) == (1, 0)
    assert "give --limit" in by_batch.err
    assert (none.out, none.code) == ("", 1)


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    eventpub, text = Command(capfd), tmp_path / "text"
    text.write_text("no database")
    for path in (text, tmp_path / "missing", tmp_path):
        done = eventpub("store", "find", "--uuid", "u", path)
        assert done.code == 2
        assert "cannot be read" in done.err


def test_an_empty_value_is_looked_for_and_not_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    eventpub, path = Command(capfd), tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.add(batch("b1", ["u1", ""], ["t1", "t2"]))
    found = eventpub("store", "find", "--uuid", "", path)
    assert [json.loads(line)["event"]["uuid"] for line in found.out.splitlines()] == [""]
    for option in ("--user", "--batch"):
        done = eventpub("store", "find", option, "", path)
        assert (done.out, done.code) == ("", 1)


@pytest.mark.parametrize(
    ("value", "expected"), [("yes=true", ["t"]), ("yes=false", ["f"]), ("yes=1", ["1"]), ("yes=null", ["n"])]
)
def test_true_false_and_null_are_found_by_these_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], value: str, expected: list[str]
) -> None:
    path = tmp_path / "events.sqlite"
    made = batch("b1", ["t"], [None])
    events = {"t": "true", "f": "false", "1": "1", "n": "null"}
    texts = [f'{{"uuid":"{uuid}","yes":{yes}}}' for uuid, yes in events.items()] + ['{"uuid":"none"}']
    rows = [made.events[0]._replace(event=text) for text in texts]
    with store(path) as opened:
        opened.add(replace(made, events=rows))
    found = Command(capfd)("store", "find", "--where", value, path)
    assert [json.loads(line)["event"]["uuid"] for line in found.out.splitlines()] == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/db",
        "postgresql://u@h/db?password=hunter2",
        "nats://u:hunter2@h:4222/S",
        "tls://hunter2@h/S",
        "kafka://u:hunter2@h/T",
        "mysql://u:hunter2@h/db",
    ],
)
def test_a_url_that_is_not_understood_is_refused_without_its_password(
    capfd: pytest.CaptureFixture[str], url: str
) -> None:
    done = Command(capfd)("store", "find", "--uuid", "u", url)
    assert done.code == 64
    assert "without a password" in done.err
    assert "hunter2" not in done.out + done.err
