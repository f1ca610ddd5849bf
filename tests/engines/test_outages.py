"""An engine that is away, slow, full or smaller than a batch: nothing is called stored that is not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from engines.test_contract import batch, text
from support.collector_process import KEY_NAME, CollectorProcess
from support.engines import NatsCluster, Postgres, read_stream
from support.ports import free_ports
from support.waiting import wait_until

from eventpub.cli.exit_codes import EXIT_FROZEN
from eventpub.collector.config import Settings
from eventpub.collector.engines import open_store
from eventpub.collector.store import IncomingBatch, Outcome, Store
from eventpub.collector.store.address import parse_store
from eventpub.errors import ConfigError, NotYetError

nats = pytest.importorskip("nats", reason="pip install nats-py")
psycopg = pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'")

from eventpub.collector.store.jetstream import JetStreamStore  # noqa: E402
from eventpub.collector.store.postgresql import PostgresqlStore  # noqa: E402


def jetstream(
    url: str, *, replicas: int = 1, max_bytes: int = 64 * 1024**2, timeout: float = 3
) -> JetStreamStore:
    return JetStreamStore(
        parse_store(url),
        replicas=replicas,
        max_bytes=max_bytes,
        timeout_seconds=timeout,
        dedupe_memory_seconds=3600,
    )


def names(url: str, stream: str) -> list[str]:
    with read_stream(parse_store(f"{url}/{stream}").where, stream) as messages:
        return [data.decode() for subject, _, data in messages if not subject.startswith(f"{stream}._b.")]


# --- JetStream -------------------------------------------------------------------------------------------


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    with contextlib.closing(NatsCluster(tmp_path)) as cluster:
        yield cluster


@pytest.mark.parametrize("url", ["nats://127.0.0.1:{}/S", "postgresql://eventpub@127.0.0.1:{}/events"])
def test_a_server_that_is_not_there_yet_is_waited_for(url: str) -> None:
    (port,) = free_ports(1)
    address = parse_store(url.format(port))
    settings = Settings(store=address, store_timeout_seconds=1)
    with pytest.raises(NotYetError, match=r"\[collector\] store = .*answer"):
        open_store(settings)


def test_a_server_of_nats_that_dies_is_unavailable_and_then_goes_on(own_cluster: NatsCluster) -> None:
    with contextlib.closing(jetstream(f"{own_cluster.url}/S", timeout=1)) as store:
        assert store.add(batch("a", "1")).outcome is Outcome.STORED
        own_cluster.kill(1)
        assert store.add(batch("b", "2")).outcome is Outcome.UNAVAILABLE
        assert not store.health().writable
        own_cluster.start(1)
        own_cluster.wait()
        wait_until(lambda: store.add(batch("b", "2")).outcome is not Outcome.UNAVAILABLE, "it is stored again")
        assert store.health().writable
    assert names(own_cluster.url, "S") == text("1", "2")


def test_a_server_of_nats_that_hangs_is_unavailable_within_the_timeout(own_cluster: NatsCluster) -> None:
    with contextlib.closing(jetstream(f"{own_cluster.url}/S", timeout=0.5)) as store:
        store.add(batch("a", "1"))
        own_cluster.pause(1)
        started = time.monotonic()
        receipt = store.add(batch("b", "2"))
        assert (receipt.outcome, receipt.code) == (Outcome.UNAVAILABLE, "TimeoutError")
        assert time.monotonic() - started < 10
        own_cluster.resume(1)
        wait_until(lambda: store.add(batch("b", "2")).outcome is not Outcome.UNAVAILABLE, "it is stored")
    assert names(own_cluster.url, "S") == text("1", "2")


def test_a_full_stream_is_unavailable_and_loses_nothing_that_is_in_it(nats_cluster: NatsCluster) -> None:
    stream = f"F{os.getpid()}"
    with contextlib.closing(jetstream(f"{nats_cluster.url}/{stream}", max_bytes=200_000)) as store:
        stored = 0
        while (
            receipt := store.add(batch(f"b{stored}", *("x" * 100 for _ in range(50))))
        ).outcome is Outcome.STORED:
            stored += 1
            assert stored < 100
        assert (receipt.outcome, receipt.code) == (Outcome.UNAVAILABLE, "10077")
        assert "maximum bytes" in receipt.reason
        assert (store.health().writable, store.health().reason) == (False, "maximum bytes exceeded")
    assert len(names(nats_cluster.url, stream)) == 50 * stored


def test_more_events_than_an_atomic_batch_takes_are_refused_with_the_number_that_it_takes(
    nats_cluster: NatsCluster,
) -> None:
    stream = f"M{os.getpid()}"
    many = [str(number) for number in range(1500)]
    with contextlib.closing(jetstream(f"{nats_cluster.url}/{stream}")) as store:
        receipt = store.add(batch("b", *many))
        assert (receipt.outcome, receipt.limit_events) == (Outcome.TOO_MANY, 999)
        assert store.add(batch("c", *many[:999])).outcome is Outcome.STORED
    assert names(nats_cluster.url, stream) == text(*many[:999])


@pytest.mark.parametrize(("sync", "warnings"), [("always", []), ("2m", ["syncs later than it confirms"])])
def test_a_server_that_confirms_what_is_not_on_its_disk_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sync: str, warnings: list[str]
) -> None:
    (port,) = free_ports(1)
    with contextlib.closing(NatsCluster(tmp_path, sync=sync)) as cluster:
        settings = Settings(
            store=parse_store(f"{cluster.url}/S"),
            store_replicas=1,
            store_max_bytes=1024**2,
            store_monitoring=(*cluster.monitoring, f"http://127.0.0.1:{port}"),
        )
        open_store(settings).close()
    told = [record.getMessage() for record in caplog.records if record.name.endswith("monitoring")]
    for text_, message in zip([*warnings, "does not tell its sync_interval"], told, strict=True):
        assert text_ in message


def test_a_server_that_is_set_to_take_larger_batches_gets_them(tmp_path: Path) -> None:
    with contextlib.closing(NatsCluster(tmp_path, batch_messages=3000)) as cluster:
        many = [str(number) for number in range(2500)]
        with contextlib.closing(jetstream(f"{cluster.url}/S")) as store:
            assert store.add(batch("b", *many)).outcome is Outcome.STORED
            receipt = store.add(batch("c", *many, *many))
            assert (receipt.outcome, receipt.limit_events) == (Outcome.TOO_MANY, 2999)
        assert names(cluster.url, "S") == text(*many)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"allow_msg_ttl": True}, "needs allow_atomic = true"),
        ({"allow_atomic": True, "allow_msg_ttl": True, "discard": "old"}, "needs discard = new"),
        ({"allow_atomic": True, "allow_msg_ttl": True, "subjects": ["other.>"]}, "needs the subject"),
        ({"allow_atomic": True, "allow_msg_ttl": True, "retention": "workqueue"}, "retention = limits"),
    ],
)
def test_a_stream_that_cannot_keep_the_contract_stops_the_start(
    nats_cluster: NatsCluster, config: dict[str, object], reason: str
) -> None:
    import asyncio  # noqa: PLC0415

    stream = f"C{os.urandom(4).hex()}"

    async def create() -> None:
        client = await nats.connect(nats_cluster.url)
        wanted = {
            "name": stream,
            "subjects": [f"{stream}.>"],
            "discard": "new",
            "retention": "limits",
            **config,
        }
        answer = await client.request(f"$JS.API.STREAM.CREATE.{stream}", json.dumps(wanted).encode(), timeout=5)
        assert "error" not in json.loads(answer.data), answer.data
        await client.close()

    asyncio.run(create())
    with pytest.raises(ConfigError, match=reason):
        jetstream(f"{nats_cluster.url}/{stream}")


def test_replicas_that_a_cluster_does_not_have_stop_the_start(nats_cluster: NatsCluster) -> None:
    with pytest.raises(ConfigError, match="the stream cannot be made"):
        jetstream(f"{nats_cluster.url}/R{os.getpid()}", replicas=3)


class Killer:
    """Kills servers of a cluster in turn and starts them again, in a thread.

    Args:
        cluster: three servers.
        stream: whose leader is killed, too.
        seconds: how long it goes on; 0 for each server once.

    Attributes:
        finished: set when it has come to the end.
        kills: how many servers it has killed.
        minorities: from when to when two servers were dead, and nothing could be replicated.
    """

    def __init__(self, cluster: NatsCluster, stream: str, seconds: float) -> None:
        self.finished = threading.Event()
        self.kills = 0
        self.minorities: list[tuple[float, float]] = []
        self._cluster = cluster
        self._stream = stream
        self._seconds = seconds
        self._thread = threading.Thread(target=self._kill_in_turn)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _kill_in_turn(self) -> None:
        """Kill each of them; if there is more time than that, also the leader, and two at once."""
        until = time.monotonic() + self._seconds
        try:
            while True:
                for number in (1, 2, 3):
                    self._kill(number)
                if time.monotonic() > until:
                    break
                leader = self._cluster.find_leader(self._stream)
                self._kill(leader)
                self._kill(leader, leader % 3 + 1)
        finally:
            self.finished.set()

    def _kill(self, *numbers: int) -> None:
        time.sleep(0.7)
        for number in numbers:
            self._cluster.kill(number)
        self.kills += len(numbers)
        began = time.monotonic()
        time.sleep(0.7 * len(numbers))
        if len(numbers) > 1:
            self.minorities.append((began, time.monotonic()))
        for number in numbers:
            self._cluster.start(number)
        self._cluster.wait()
        time.sleep(1.5)


def test_one_server_of_three_after_the_other_dies_under_load_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    """Each batch is sent until it is acknowledged, as a sidecar does; every third answer is thrown away.

    `EVENTPUB_CLUSTER_MINUTES=10 make test-engines TESTS='-s -k three'` goes on for so long, and prints figures.
    """
    seconds = 60 * float(os.environ.get("EVENTPUB_CLUSTER_MINUTES", "0"))
    with contextlib.closing(NatsCluster(tmp_path, 3)) as cluster:
        stream = "R3"
        opened: list[Store] = []

        def is_open() -> bool:
            with contextlib.suppress(ConfigError, NotYetError):
                url = f"{cluster.url}/{stream}"
                opened.append(jetstream(url, replicas=3, timeout=5, max_bytes=1024**3))
            return bool(opened)

        wait_until(is_open, "the cluster makes the stream", 60)
        (store,) = opened
        sent = unavailable = 0
        longest_seconds = 0.0
        acknowledged: list[tuple[float, float]] = []
        killer = Killer(cluster, stream, seconds)

        def add(made: IncomingBatch) -> Outcome:
            began = time.monotonic()
            outcome = store.add(made).outcome
            if outcome is not Outcome.UNAVAILABLE:
                acknowledged.append((began, time.monotonic()))
            return outcome

        with contextlib.closing(store):
            while not killer.finished.is_set():
                made = batch(f"b{sent}", *(f"{sent}-{index}" for index in range(20)))
                began = time.monotonic()
                while add(made) is Outcome.UNAVAILABLE:
                    unavailable += 1
                    assert time.monotonic() < began + 60
                    time.sleep(0.1)
                longest_seconds = max(longest_seconds, time.monotonic() - began)
                if sent % 3 == 0:
                    assert add(made) in (Outcome.DUPLICATE, Outcome.UNAVAILABLE)
                sent += 1
        killer.join()
        wait_until(lambda: cluster.find_leader(stream), "it has a leader", 60)
        stored = names(cluster.url, stream)
    print(
        f"\n{killer.kills} kills, {len(killer.minorities)} times two at once; {sent:,} batches of 20 events, "
        f"{len(stored):,} events stored; {unavailable} times unavailable, at most {longest_seconds:.1f} s"
    )
    assert stored == text(*(f"{number}-{index}" for number in range(sent) for index in range(20)))
    assert sent > 20
    assert not [
        (began, ended)
        for began, ended in acknowledged
        if any(dead <= began and ended <= back for dead, back in killer.minorities)
    ], "acknowledged while only one server lived"


# --- PostgreSQL ------------------------------------------------------------------------------------------


def test_a_server_of_postgresql_that_dies_under_load_loses_and_doubles_nothing() -> None:
    with contextlib.closing(Postgres()) as server:
        address = parse_store(server.url)
        with contextlib.closing(
            PostgresqlStore(address, timeout_seconds=2, dedupe_memory_seconds=3600)
        ) as store:
            sent, finished = 0, threading.Event()

            def restart() -> None:
                for _ in range(3):
                    time.sleep(0.5)
                    server.stop()
                    server.start()
                finished.set()

            restarter = threading.Thread(target=restart)
            restarter.start()
            failed = 0
            while not finished.is_set():
                made = batch(f"b{sent}", *(f"{sent}-{index}" for index in range(20)))
                deadline = time.monotonic() + 60
                while store.add(made).outcome is Outcome.UNAVAILABLE:
                    failed += 1
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                sent += 1
            restarter.join()
        with psycopg.connect(server.url) as connection:
            stored = [found for (found,) in connection.execute("SELECT event FROM events ORDER BY id")]
    assert stored == text(*(f"{number}-{index}" for number in range(sent) for index in range(20)))
    assert failed


def test_what_postgresql_could_not_do_in_time_has_its_sqlstate(postgres: Postgres) -> None:
    address = parse_store(postgres.url)
    with (
        contextlib.closing(PostgresqlStore(address, timeout_seconds=0.5, dedupe_memory_seconds=3600)) as store,
        psycopg.connect(postgres.url) as other,
    ):
        other.execute("LOCK TABLE events")
        receipt = store.add(batch("b", "1"))
        assert (receipt.outcome, receipt.code) == (Outcome.UNAVAILABLE, "57014")  # query_canceled
        other.rollback()
        assert store.add(batch("b", "1")).outcome is Outcome.STORED


def test_a_collector_whose_database_is_frozen_ends_with_71_and_the_next_one_stores_what_is_repeated(
    tmp_path: Path, postgres: Postgres
) -> None:
    """No timeout of PostgreSQL or TCP ends a call to a frozen backend: its kernel goes on to acknowledge."""
    settings = {
        "store": f"{postgres.url}?application_name=frozen",
        "store.timeout": "1",
        "watchdog.timeout": "2",
    }
    with (
        psycopg.connect(postgres.url, autocommit=True) as admin,
        CollectorProcess(tmp_path, faults=None, settings=settings) as collector,
    ):
        assert collector.process is not None
        assert collector.post(b'[{"a":1}]', {"Idempotency-Key": "1"}).status_code == 200
        found = admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'frozen'").fetchone()
        assert found
        backend: int = found[0]
        os.kill(backend, signal.SIGSTOP)
        try:
            with contextlib.suppress(requests.RequestException):
                collector.post(b'[{"a":2}]', {"Idempotency-Key": "2"})
            assert collector.process.wait(30) == EXIT_FROZEN
        finally:
            os.kill(backend, signal.SIGCONT)
        assert "the store has not answered for" in collector.log()
        collector.start()
        assert collector.post(b'[{"a":2}]', {"Idempotency-Key": "2"}).status_code == 200
        rows = admin.execute("SELECT event FROM events WHERE key_name = %s ORDER BY id", (KEY_NAME,)).fetchall()
        assert rows == [('{"a":1}',), ('{"a":2}',)]


def test_a_database_of_a_later_collector_stops_the_start(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA later")
        connection.execute("CREATE TABLE later.eventpub_schema (version integer NOT NULL)")
        connection.execute("INSERT INTO later.eventpub_schema VALUES (99)")
    with pytest.raises(ConfigError, match=r"version 99.*take a newer one"):
        PostgresqlStore(
            parse_store(f"{postgres.url}?options=-csearch_path%3Dlater"),
            timeout_seconds=5,
            dedupe_memory_seconds=1,
        )


def test_a_database_that_may_not_be_written_stops_the_start(postgres: Postgres) -> None:
    url = f"{postgres.url}?options=-cdefault_transaction_read_only%3Don"
    with pytest.raises(ConfigError, match="read-only transaction"):
        PostgresqlStore(parse_store(url), timeout_seconds=5, dedupe_memory_seconds=1)
