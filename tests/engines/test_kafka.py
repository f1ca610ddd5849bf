"""Kafka: at least once, with ids that repeats carry too; on which brokers, `conftest.py` says."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path

import pytest
from engines.test_contract import batch, text
from support.engines import KafkaMock, KafkaTopic
from support.ports import free_ports

from eventpub.collector.store import Outcome
from eventpub.collector.store.address import parse_store
from eventpub.errors import NotYetError

confluent_kafka = pytest.importorskip("confluent_kafka", reason="pip install confluent-kafka")

from eventpub.collector.store.kafka import KafkaStore, read_options  # noqa: E402


def open_store(kafka: KafkaTopic, *, timeout: float = 5) -> KafkaStore:
    return KafkaStore(
        parse_store(f"kafka://{kafka.brokers}/{kafka.topic}"),
        timeout_seconds=timeout,
        max_event_bytes=256 * 1024,
    )


def test_each_event_is_a_message_with_the_headers_of_a_cloudevent(kafka: KafkaTopic) -> None:
    with contextlib.closing(open_store(kafka)) as store:
        assert store.add(batch("b", "1", "2")).outcome is Outcome.STORED
        assert store.health().writable
    (headers, value), (other, _) = sorted(kafka.messages(2), key=lambda message: message[0]["eventpub-id"])
    assert headers == {
        "eventpub-id": "k/b:0",
        "ce_specversion": "1.0",
        "ce_id": "k/b:0",
        "ce_source": "eventpub/k",
        "ce_type": "shop.tea.1.buy",
        "ce_time": "2023-11-14T22:13:20Z",
        "content-type": "application/json",
    }
    assert json.loads(value) == {"n": "1"}
    assert other["eventpub-id"] == "k/b:1"


def test_a_batch_that_comes_again_carries_the_same_ids(kafka: KafkaTopic) -> None:
    with contextlib.closing(open_store(kafka)) as store:
        for _ in range(2):
            assert store.add(batch("b", "1", "2")).outcome is Outcome.STORED
        assert store.seen(batch("b", "1")) is None
    ids = Counter(headers["eventpub-id"] for headers, _ in kafka.messages(4))
    assert ids == {"k/b:0": 2, "k/b:1": 2}


def test_brokers_that_are_away_are_unavailable_and_nothing_is_called_stored() -> None:
    kafka = KafkaMock("gone", brokers=1)
    with contextlib.closing(open_store(kafka, timeout=1)) as store:
        assert store.add(batch("a", "1")).outcome is Outcome.STORED
        del kafka.producer  # and with it the brokers
        receipt = store.add(batch("b", "2"))
        assert receipt.outcome is Outcome.UNAVAILABLE
        assert receipt.reason
        assert receipt.code in ("_MSG_TIMED_OUT", "_TIMED_OUT")
        assert not store.health().writable


def test_brokers_that_are_not_there_yet_are_waited_for() -> None:
    (port,) = free_ports(1)
    with pytest.raises(NotYetError, match="no broker answers yet"):
        KafkaStore(parse_store(f"kafka://127.0.0.1:{port}/t"), timeout_seconds=0.5, max_event_bytes=1000)


def test_many_events_are_confirmed_each(kafka: KafkaTopic) -> None:
    many = [str(number) for number in range(3000)]
    with contextlib.closing(open_store(kafka)) as store:
        assert store.add(batch("b", *many)).outcome is Outcome.STORED
    assert sorted(value.decode() for _, value in kafka.messages(3000)) == sorted(text(*many))


def test_options_of_the_client_come_from_the_environment() -> None:
    assert read_options({"KAFKA_SASL_PASSWORD": "p", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "HOME": "/"}) == {
        "sasl.password": "p",
        "security.protocol": "SASL_SSL",
    }


def test_a_start_without_brokers_leaves_no_client_behind() -> None:
    """Each attempt of a waiting collector makes one, and their threads would go on connecting."""
    from eventpub.collector.store.kafka import KafkaStore  # noqa: PLC0415

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before, kept = threads(), []
    for _ in range(3):
        with pytest.raises(NotYetError) as refused:
            KafkaStore(parse_store("kafka://127.0.0.1:1/t"), timeout_seconds=0.2, max_event_bytes=1024)
        kept.append(refused)
    assert threads() <= before
