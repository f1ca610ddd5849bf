"""What every store promises, against each engine; Kafka keeps what needs no memory of ids."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.engines import KafkaTopic, NatsCluster, Postgres, read_stream

from eventpub.collector.store import EventRow, IncomingBatch, Outcome, Store
from eventpub.collector.store.address import StoreAddress, parse_store
from eventpub.collector.store.sqlite import SqliteStore

_numbers = itertools.count()


class Engine(NamedTuple):
    """One engine under test: opens its store, and reads all events in it, in their order."""

    open: Callable[[], Store]
    events: Callable[[], list[str]]


def rows(*names: str) -> tuple[EventRow, ...]:
    return tuple(
        EventRow("shop.tea", "buy", name, None, 1.5, name, None, "u", f'{{"n":"{name}"}}') for name in names
    )


def batch(
    batch_id: str, *names: str, parents: tuple[str, ...] = (), key: str = "k", **fields: Any
) -> IncomingBatch:
    given = {"deduplicate": True, "digest": " ".join(names).encode() + b"#", "received_at": 1.7e9, **fields}
    return IncomingBatch(key, batch_id, version="2j", events=rows(*names), parents=parents, **given)


@pytest.fixture(params=["sqlite", "nats", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return globals()[f"make_{request.param}"](request, tmp_path)


@pytest.fixture(params=["sqlite", "nats", "postgresql", "kafka"])
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return globals()[f"make_{request.param}"](request, tmp_path)


def make_sqlite(_request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    path = tmp_path / "events.sqlite"

    def events() -> list[str]:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return [text for (text,) in connection.execute("SELECT event FROM events ORDER BY id")]

    return Engine(
        lambda: SqliteStore(path, synchronous="normal", busy_timeout_seconds=5, dedupe_memory_seconds=3600),
        events,
    )


def make_nats(request: pytest.FixtureRequest, _tmp_path: Path) -> Engine:
    from eventpub.collector.store.jetstream import JetStreamStore  # noqa: PLC0415

    cluster: NatsCluster = request.getfixturevalue("nats_cluster")
    address = parse_store(f"{cluster.url}/S{os.getpid()}_{next(_numbers)}")

    def events() -> list[str]:
        with read_stream(address.where, address.name) as messages:
            return [
                data.decode() for subject, _, data in messages if not subject.startswith(f"{address.name}._b.")
            ]

    return Engine(lambda: jetstream(address, JetStreamStore), events)


def jetstream(address: StoreAddress, store: Any) -> Store:
    return store(address, replicas=1, max_bytes=64 * 1024**2, timeout_seconds=5, dedupe_memory_seconds=3600)


def make_postgresql(request: pytest.FixtureRequest, _tmp_path: Path) -> Engine:
    import psycopg  # noqa: PLC0415

    from eventpub.collector.store.postgresql import PostgresqlStore  # noqa: PLC0415

    server: Postgres = request.getfixturevalue("postgres")
    schema = f"s{next(_numbers)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    address = parse_store(f"{server.url}?options=-csearch_path%3D{schema}")

    def events() -> list[str]:
        with psycopg.connect(server.url) as connection:
            return [text for (text,) in connection.execute(f"SELECT event FROM {schema}.events ORDER BY id")]

    return Engine(lambda: PostgresqlStore(address, timeout_seconds=5, dedupe_memory_seconds=3600), events)


def make_kafka(request: pytest.FixtureRequest, _tmp_path: Path) -> Engine:
    """Events are read as docs/stores.md has a consumer read them: once for each id."""
    topic: KafkaTopic = request.getfixturevalue("kafka")
    from eventpub.collector.store.kafka import KafkaStore  # noqa: PLC0415, it may not be installed

    address = parse_store(f"kafka://{topic.brokers}/{topic.topic}")

    def events() -> list[str]:
        by_id: dict[str, str] = {}
        for headers, value in topic.messages():
            by_id.setdefault(headers["eventpub-id"], value.decode())
        return [*by_id.values()]

    return Engine(lambda: KafkaStore(address, timeout_seconds=10, max_event_bytes=256 * 1024), events)


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    with contextlib.closing(engine.open()) as opened:
        yield opened


@pytest.fixture
def any_store(any_engine: Engine) -> Iterator[Store]:
    with contextlib.closing(any_engine.open()) as opened:
        yield opened


def text(*names: str) -> list[str]:
    return [f'{{"n":"{name}"}}' for name in names]


def test_a_time_of_day_that_is_ahead_for_a_moment_makes_no_id_forgotten(store: Store) -> None:
    store.add(batch("b", "1"))
    for number in range(20):
        store.add(batch(f"ahead {number}", "2", received_at=2e9))
    assert store.add(batch("b", "1")).outcome is Outcome.DUPLICATE


def test_a_batch_is_stored_whole_and_in_its_order(any_engine: Engine, any_store: Store) -> None:
    assert any_store.add(batch("b", "1", "2", "3")).outcome is Outcome.STORED
    assert any_store.add(batch("c", "4")).outcome is Outcome.STORED
    assert any_engine.events() == text("1", "2", "3", "4")
    assert any_store.health().writable


def test_a_batch_that_comes_again_is_there_once_for_all_who_read(any_engine: Engine, any_store: Store) -> None:
    any_store.add(batch("b", "1", "2"))
    with contextlib.closing(any_engine.open()) as other:
        assert other.add(batch("b", "1", "2")).outcome in (Outcome.STORED, Outcome.DUPLICATE)
    assert any_store.add(batch("c", "3")).outcome is Outcome.STORED
    assert any_engine.events() == text("1", "2", "3")


def test_a_batch_that_comes_again_is_a_duplicate_also_for_another_collector(
    engine: Engine, store: Store
) -> None:
    assert store.add(batch("b", "1", "2")).outcome is Outcome.STORED
    assert store.add(batch("b", "1", "2")).outcome is Outcome.DUPLICATE
    with contextlib.closing(engine.open()) as other:
        assert other.add(batch("b", "1", "2")).outcome is Outcome.DUPLICATE
        assert other.seen(batch("b", "1", "2")).outcome is Outcome.DUPLICATE
        assert other.seen(batch("b", digest=None)).outcome is Outcome.DUPLICATE
        assert other.seen(batch("c", "1")) is None
    assert engine.events() == text("1", "2")


def test_another_body_under_the_same_id_is_refused_and_under_another_key_is_not(
    engine: Engine, store: Store
) -> None:
    store.add(batch("b", "1"))
    assert store.add(batch("b", "2")).outcome is Outcome.KEY_REUSED
    assert store.seen(batch("b", "2")) is None
    assert store.add(batch("b", "3", key="other")).outcome is Outcome.STORED
    assert engine.events() == text("1", "3")


def test_a_batch_without_an_id_of_its_sender_is_always_stored(any_engine: Engine, any_store: Store) -> None:
    for number in range(2):
        assert any_store.add(batch(f"made-{number}", "1", deduplicate=False)).outcome is Outcome.STORED
    assert any_engine.events() == text("1", "1")


def test_a_batch_of_no_events_is_remembered(engine: Engine, store: Store) -> None:
    assert store.add(batch("b")).outcome is Outcome.STORED
    assert store.add(batch("b")).outcome is Outcome.DUPLICATE
    assert engine.events() == []


def test_a_part_of_a_batch_that_was_stored_is_a_duplicate(engine: Engine, store: Store) -> None:
    store.add(batch("whole", "1", "2"))
    assert store.add(batch("part", "1", parents=("whole",))).outcome is Outcome.DUPLICATE
    assert store.add(batch("deep", "1", parents=("part", "whole"))).outcome is Outcome.DUPLICATE
    assert store.seen(batch("part", "1", parents=("whole",))).outcome is Outcome.DUPLICATE
    assert engine.events() == text("1", "2")


def test_once_a_part_is_stored_its_parents_are_not_and_its_siblings_are(engine: Engine, store: Store) -> None:
    assert store.add(batch("left", "1", parents=("whole",))).outcome is Outcome.STORED
    assert store.add(batch("whole", "1", "2")).outcome is Outcome.TAKEN_APART
    assert store.add(batch("right", "2", parents=("whole",))).outcome is Outcome.STORED
    assert store.add(batch("left", "1", parents=("whole",))).outcome is Outcome.DUPLICATE
    assert engine.events() == text("1", "2")


def test_a_part_that_is_refused_marks_no_parent(engine: Engine, store: Store) -> None:
    store.add(batch("part", "1"))
    assert store.add(batch("part", "other", parents=("whole",))).outcome is Outcome.KEY_REUSED
    assert store.add(batch("whole", "2")).outcome is Outcome.STORED
    assert engine.events() == text("1", "2")


def test_concurrent_repeats_of_one_batch_store_it_once(engine: Engine) -> None:
    outcomes: list[Outcome] = []
    start = threading.Barrier(4)

    def send() -> None:
        with contextlib.closing(engine.open()) as opened:
            start.wait(20)
            for _ in range(50):
                receipt = opened.add(batch("b", *map(str, range(20))))
                outcomes.append(receipt.outcome)
                if receipt.outcome is not Outcome.UNAVAILABLE:
                    break

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert engine.events() == text(*map(str, range(20)))
    finished = [outcome for outcome in outcomes if outcome is not Outcome.UNAVAILABLE]
    assert sorted(outcome.name for outcome in finished) == ["DUPLICATE"] * 3 + ["STORED"]


def test_odd_texts_come_back_as_they_were(any_engine: Engine, any_store: Store) -> None:
    odd = "é\U0001f600\t\u2028'\"\\"
    event = EventRow(odd, None, "a.b *>", None, None, "nul\0", None, odd, f'{{"n":"{odd[:4]}"}}')
    made = batch("b")
    receipt = any_store.add(
        IncomingBatch(**{**{name: getattr(made, name) for name in made.__slots__}, "events": (event,)})
    )
    assert receipt.outcome is Outcome.STORED
    assert any_engine.events() == [event.event]
