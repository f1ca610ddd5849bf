"""What our stores cost beside the client library alone, with the same batches, in one run on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.machine import ROOT
from benchmarks.report import Row, at_most_times
from eventpub.collector.store import EventRow, IncomingBatch, Outcome
from eventpub.collector.store.address import parse_store

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL = 2.0  # times the client library alone
BATCH_EVENTS = 700
_EVENT = (
    '{"source":"shop","action":"buy","noun":"tea","uuid":"%s","user":{"id":"t2_1"},"pad":"' + "x" * 180 + '"}'
)

sys.path.insert(0, str(ROOT / "tests"))  # the rigs that start servers


def rows(*, quick: bool) -> list[Row]:
    """Measure and return the table's rows; a store whose server is not installed is left out."""
    table = []
    for measure in (_nats, _postgresql, _kafka):
        try:
            table.append(measure(10 if quick else 40))
        except pytest.skip.Exception as reason:  # how the rigs say that something is missing
            print(f"left out: {reason}", file=sys.stderr)
    return table


def _make_batch(number: int) -> IncomingBatch:
    events = tuple(
        EventRow("shop", "buy", "tea", None, 1.7e12, f"u{index}", None, "t2_1", _EVENT % f"u{index}")
        for index in range(BATCH_EVENTS)
    )
    batch_id = f"{os.getpid()}-{time.monotonic_ns()}-{number}"
    return IncomingBatch("bench", batch_id, True, os.urandom(32), "2", time.time(), events)


def _compare(name: str, alone: Callable[[IncomingBatch], None], store: Any, batches: int) -> Row:
    """Run both in turn and compare the CPU time of this process an event."""
    alone_us, ours_us, per_second = [], [], []
    for number in range(batches):
        for measure, found in ((alone, alone_us), (store.add, ours_us)):
            batch = _make_batch(number)
            cpu, started = time.process_time(), time.monotonic()
            receipt = measure(batch)
            found.append((time.process_time() - cpu) / BATCH_EVENTS * 1e6)
            if receipt is not None:
                if receipt.outcome is not Outcome.STORED:
                    raise RuntimeError(f"{name}: {receipt}")
                per_second.append(BATCH_EVENTS / (time.monotonic() - started))
    return at_most_times(
        f"CPU per event stored by way of {name} (its client library alone)",
        median(ours_us) / median(alone_us),
        GOAL,
        peer=f"{median(alone_us):.1f} us",
        eventpub=f"{median(ours_us):.1f} us, {median(per_second):,.0f}/s",
    )


def _nats(batches: int) -> Row:
    import nats  # noqa: PLC0415
    from support.engines import NatsCluster  # noqa: PLC0415

    from eventpub.collector.store.jetstream import JetStreamStore  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder, contextlib.closing(NatsCluster(Path(folder))) as cluster:
        store = JetStreamStore(
            parse_store(f"{cluster.url}/B"),
            replicas=1,
            max_bytes=1024**3,
            timeout_seconds=10,
            dedupe_memory_seconds=3600,
        )
        loop = asyncio.new_event_loop()
        client = loop.run_until_complete(nats.connect(cluster.url))

        async def publish(batch: IncomingBatch) -> None:
            attempt = os.urandom(8).hex()
            for index, event in enumerate(batch.events[:-1], 1):
                headers = {"Nats-Batch-Id": attempt, "Nats-Batch-Sequence": str(index)}
                await client.publish("B.shop", event.event.encode(), headers=headers)
            headers = {
                "Nats-Batch-Id": attempt,
                "Nats-Batch-Sequence": str(BATCH_EVENTS),
                "Nats-Batch-Commit": "1",
            }
            await client.request("B.shop", batch.events[-1].event.encode(), headers=headers, timeout=10)

        with contextlib.closing(store):
            row = _compare("JetStream", lambda batch: loop.run_until_complete(publish(batch)), store, batches)
        loop.run_until_complete(client.close())
        loop.close()
        return row


def _postgresql(batches: int) -> Row:
    import psycopg  # noqa: PLC0415
    from support.engines import Postgres  # noqa: PLC0415

    from eventpub.collector.store.postgresql import PostgresqlStore  # noqa: PLC0415

    with contextlib.closing(Postgres()) as server:
        store = PostgresqlStore(parse_store(server.url), timeout_seconds=10, dedupe_memory_seconds=3600)
        with contextlib.closing(store), psycopg.connect(server.url) as connection:

            def copy(batch: IncomingBatch) -> None:
                names = ", ".join(("received_at", "batch_id", "key_name", "version", *EventRow._fields))
                query = f"COPY events ({names}) FROM STDIN"
                with connection.transaction(), connection.cursor() as cursor, cursor.copy(query) as copying:
                    for event in batch.events:
                        copying.write_row((batch.received_at, batch.batch_id, "bench", "2", *event))

            return _compare("PostgreSQL", copy, store, batches)


def _kafka(batches: int) -> Row:
    from confluent_kafka import Producer  # noqa: PLC0415
    from support.engines import KafkaMock  # noqa: PLC0415

    from eventpub.collector.store.kafka import KafkaStore  # noqa: PLC0415

    headers = [(f"ce_header{number}", "a value of some length") for number in range(7)]  # as ours have

    mock = KafkaMock("bench")
    store = KafkaStore(
        parse_store(f"kafka://{mock.brokers}/bench"), timeout_seconds=10, max_event_bytes=256 * 1024
    )
    producer = Producer(
        {"bootstrap.servers": mock.brokers, "acks": "all", "enable.idempotence": True, "linger.ms": 2}
    )

    def produce(batch: IncomingBatch) -> None:
        for event in batch.events:
            producer.produce("bench", event.event, event.user_id, headers=headers, on_delivery=lambda *_: None)
        producer.flush(10)

    with contextlib.closing(store):
        return _compare("Kafka's mock, brokers included", produce, store, batches)
