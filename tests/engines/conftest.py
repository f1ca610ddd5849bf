"""Servers for a whole run of these tests, which `make test-engines` runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from support.engines import KafkaMock, KafkaTopic, NatsCluster, Postgres, RealKafka


@pytest.fixture(scope="session")
def nats_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    pytest.importorskip("nats", reason="pip install nats-py")
    with contextlib.closing(NatsCluster(tmp_path_factory.mktemp("nats"))) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'")
    with contextlib.closing(Postgres()) as server:
        yield server


@pytest.fixture
def kafka() -> Iterator[KafkaTopic]:
    """A topic on the cluster that `EVENTPUB_KAFKA_BROKERS` names; else on librdkafka's mock."""
    pytest.importorskip("confluent_kafka", reason="pip install confluent-kafka")
    topic = f"eventpub-tests-{os.urandom(4).hex()}"
    brokers = os.environ.get("EVENTPUB_KAFKA_BROKERS")
    with contextlib.closing(RealKafka(brokers, topic) if brokers else KafkaMock(topic)) as opened:
        yield opened
