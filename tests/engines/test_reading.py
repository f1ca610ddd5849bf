"""`eventpub store` over each engine: find, export, trim."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from engines.test_contract import batch, jetstream
from support.commands import Command
from support.engines import NatsCluster, Postgres

from eventpub.collector.store import EventRow, IncomingBatch, Outcome, Store
from eventpub.collector.store.address import parse_store
from eventpub.collector.store.sqlite import SqliteStore

NOW = time.time()


class Filled(NamedTuple):
    url: str
    store: Store


def event(number: int) -> EventRow:
    noun, user = f"n{number % 3}", f"t{number % 5}"
    content = {
        "source": "shop",
        "noun": noun,
        "uuid": f"u{number}",
        "user": {"id": user, "plan": "team"},
        "n": number,
    }
    return EventRow("shop", "buy", noun, None, 1.5e12, f"u{number}", None, user, json.dumps(content))


def fill(store: Store) -> None:
    for number in range(10):
        made = IncomingBatch(
            key_name="k",
            batch_id=f"b{number}",
            deduplicate=True,
            digest=b"d",
            version="2j",
            received_at=NOW - (9 - number) * 86_400,
            events=tuple(event(10 * number + index) for index in range(10)),
        )
        assert store.add(made).outcome is Outcome.STORED


@pytest.fixture(params=["sqlite", "nats", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filled]:
    if request.param == "sqlite":
        url = f"sqlite:{tmp_path}/e.sqlite"
        store: Store = SqliteStore(
            Path(tmp_path, "e.sqlite"), synchronous="normal", busy_timeout_seconds=1, dedupe_memory_seconds=3600
        )
    elif request.param == "nats":
        from eventpub.collector.store.jetstream import JetStreamStore  # noqa: PLC0415

        cluster: NatsCluster = request.getfixturevalue("nats_cluster")
        url = f"{cluster.url}/L{os.urandom(4).hex()}"
        store = jetstream(parse_store(url), JetStreamStore)
    else:
        import psycopg  # noqa: PLC0415

        from eventpub.collector.store.postgresql import PostgresqlStore  # noqa: PLC0415

        server: Postgres = request.getfixturevalue("postgres")
        schema = f"l{os.urandom(4).hex()}"
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        url = f"{server.url}?options=-csearch_path%3D{schema}"
        store = PostgresqlStore(parse_store(url), timeout_seconds=5, dedupe_memory_seconds=3600)
    with contextlib.closing(store):
        fill(store)
        yield Filled(url, store)


def found(done: tuple[int, str, str]) -> list[int]:
    return [json.loads(line)["event"]["n"] for line in done[1].splitlines()]


def test_events_are_found_by_what_they_are(filled: Filled, capfd: pytest.CaptureFixture[str]) -> None:
    eventpub = Command(capfd)
    assert found(eventpub("store", "find", "--uuid", "u42", filled.url)) == [42]
    assert sorted(found(eventpub("store", "find", "--batch", "b3", filled.url))) == list(range(30, 40))
    assert sorted(found(eventpub("store", "find", "--user", "t4", filled.url))) == list(range(4, 100, 5))
    words = ("--where", "noun=n1", "--where", "user.id=t2", "--where", "user.plan=team")
    assert sorted(found(eventpub("store", "find", *words, filled.url))) == [7, 22, 37, 52, 67, 82, 97]
    assert sorted(found(eventpub("store", "find", "--where", "n=5", filled.url))) == [5]
    limited = eventpub("store", "find", "--where", "noun=n1", "--limit", "3", filled.url)
    assert (len(found(limited)), "more than 3" in limited.err) == (3, True)
    assert eventpub("store", "find", "--uuid", "u4711", filled.url).code == 1
    for option in ("--uuid", "--user", "--batch"):  # of a script whose variable is empty
        assert eventpub("store", "find", option, "", filled.url).code == 1


def test_a_path_finds_the_same_events_whatever_the_others_hold(
    filled: Filled, capfd: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL's jsonb refuses some JSON that a collector stores; SQLite's JSON has no booleans."""
    texts = (
        r'{"n": 1000, "a": "\u0000", "x": {"yes": true, "no": false, "none": null, "half": 1.50}}',
        r'{"n": 1001, "\u0000": 1, "x": {"yes": "true", "none": "null", "half": "1.5", "caf\u00e9": "\u00fc"}}',
        r'{"n": 1002, "x": {"yes": 1, "no": 0, "half": 1e-20000}}',
    )
    made = batch("odd", "1")
    rows = tuple(EventRow(None, None, None, None, None, None, None, None, text) for text in texts)
    assert filled.store.add(replace(made, events=rows)).outcome is Outcome.STORED
    eventpub = Command(capfd)

    def find(condition: str) -> list[int]:
        return sorted(found(eventpub("store", "find", "--where", condition, filled.url)))

    assert find("n=5") == [5]
    assert find("x.yes=true") == [1000, 1001]
    assert find("x.yes=1") == [1002]
    assert find("x.no=false") == [1000]
    assert find("x.none=null") == [1000, 1001]
    assert find("x.half=1.5") == [1000, 1001]
    assert find("y.none=null") == []


def test_what_is_exported_is_all_there_is_in_its_order(
    filled: Filled, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    eventpub = Command(capfd)
    assert found(eventpub("store", "export", filled.url)) == list(range(100))
    done = eventpub("store", "export", "--format", "csv", "--out", tmp_path / "e.csv", filled.url)
    assert "wrote 100 events" in done.err
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [json.loads(row["event"])["n"] for row in rows] == list(range(100))
    assert {(row["key_name"], row["source"], row["version"]) for row in rows} == {("k", "shop", "2j")}
    assert not (tmp_path / "e.csv.part").exists()


def test_an_export_is_queried_by_duckdb_as_the_help_shows(
    filled: Filled, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    duckdb = pytest.importorskip("duckdb", reason="pip install duckdb")
    path = tmp_path / "events.parquet"
    assert Command(capfd)("store", "export", "--format", "parquet", "--out", path, filled.url).code == 0
    counted = duckdb.sql(f"SELECT noun, count(*) FROM '{path}' GROUP BY noun ORDER BY noun").fetchall()
    assert counted == [("n0", 34), ("n1", 33), ("n2", 33)]


def test_old_events_are_removed_and_the_others_stay(filled: Filled, capfd: pytest.CaptureFixture[str]) -> None:
    eventpub = Command(capfd)
    done = eventpub("store", "trim", "--older-than", "108 h", filled.url)
    if filled.url.startswith("nats"):
        assert (done.code, "max_age" in done.err) == (2, True)
        return
    assert (done.code, done.out) == (0, "removed 50 events\n")
    assert found(eventpub("store", "export", filled.url)) == list(range(50, 100))
    assert filled.store.add(batch("after", "1")).outcome is Outcome.STORED
    assert found(eventpub("store", "find", "--uuid", "u42", filled.url)) == []
    assert found(eventpub("store", "find", "--uuid", "u52", filled.url)) == [52]


def test_a_topic_of_kafka_is_read_by_its_consumers(capfd: pytest.CaptureFixture[str]) -> None:
    done = Command(capfd)("store", "find", "--uuid", "u", "kafka://localhost:9092/events")
    assert (done.code, "is read by its consumers" in done.err) == (2, True)


def test_events_older_than_store_keep_are_removed_beside_the_traffic(tmp_path: Path) -> None:
    store = SqliteStore(
        tmp_path / "k.sqlite",
        synchronous="normal",
        busy_timeout_seconds=1,
        dedupe_memory_seconds=3600,
        keep_seconds=4.5 * 86_400,
    )
    fill(store)
    store.tend()
    store.close()
    command = [sys.executable, "-m", "eventpub", "store", "export", str(tmp_path / "k.sqlite")]
    lines = subprocess.check_output(command, text=True).splitlines()
    assert [json.loads(line)["event"]["n"] for line in lines] == list(range(50, 100))
