"""Servers for a whole run of these tests, which `make test-engines` runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from support.engines import KafkaMock, NatsCluster, Postgres


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
def kafka() -> KafkaMock:
    return KafkaMock(f"events{os.urandom(4).hex()}")
