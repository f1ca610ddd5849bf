"""`store = …` names an engine and where it is, and never shows a password."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eventpub.collector.config import load_config
from eventpub.collector.engines import open_store
from eventpub.collector.store.address import StoreAddress, parse_store
from eventpub.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("sqlite:events.sqlite", StoreAddress("sqlite", "events.sqlite")),
        ("sqlite:/var/lib/e.sqlite", StoreAddress("sqlite", "/var/lib/e.sqlite")),
        ("nats://n1:4222/EVENTS", StoreAddress("nats", "nats://n1:4222", "EVENTS")),
        ("nats://n1:4222,n2:4222/E", StoreAddress("nats", "nats://n1:4222,nats://n2:4222", "E")),
        ("tls://n1/E", StoreAddress("nats", "tls://n1", "E")),
        ("nats://[::1]:4222/E", StoreAddress("nats", "nats://[::1]:4222", "E")),
        ("kafka://b1:9092,b2:9092/events.shop", StoreAddress("kafka", "b1:9092,b2:9092", "events.shop")),
        ("postgresql://eventpub@db/events", StoreAddress("postgresql", "postgresql://eventpub@db/events")),
        (
            "postgres://db:5432/e?sslmode=verify-full",
            StoreAddress("postgresql", "postgres://db:5432/e?sslmode=verify-full"),
        ),
    ],
)
def test_a_store_is_understood(value: str, address: StoreAddress) -> None:
    assert parse_store(value) == address


@pytest.mark.parametrize(
    "value",
    [
        "events.sqlite",
        "sqlite:",
        "nats://",
        "nats://host",
        "nats://host/",
        "nats://host/with.dot",
        "nats://user:hunter2@host/E",
        "nats://host:4222/E/F",
        "kafka://user:hunter2@host/t",
        "kafka:///t",
        "postgresql://eventpub:hunter2@db/events",
        "postgresql://db/events?password=hunter2",
        "postgresql://db/events?sslmode=require&PASSWORD=hunter2",
        "postgresql://db",
        "mysql://db/events",
        "NATS://host/E",
    ],
)
def test_anything_else_is_refused_and_never_shown(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011, what a Kind raises
        parse_store(value)
    path = tmp_path / "collector.ini"
    path.write_text(f"[collector]\nstore = {value}\n[keys]\nk = aHVudGVyMg==\n")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert raised.value.key == "store"
    assert "hunter2" not in str(raised.value)
    assert "nats://HOST:PORT[,…]/STREAM" in str(raised.value)


def test_the_older_name_of_the_file_is_understood_and_not_beside_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "collector.ini"
    path.write_text("[collector]\nstore.path = old.sqlite\n[keys]\nk = aHVudGVyMg==\n")
    assert load_config(path).settings.store_address == StoreAddress("sqlite", "old.sqlite")
    path.write_text(
        "[collector]\nstore.path = old.sqlite\nstore = sqlite:new.sqlite\n[keys]\nk = aHVudGVyMg==\n"
    )
    with pytest.raises(ConfigError, match=r"store\.path = old\.sqlite.*set store or store\.path"):
        load_config(path)


@pytest.mark.parametrize(
    ("value", "module", "extra"),
    [
        ("nats://h/E", "nats", "nats"),
        ("kafka://h/t", "confluent_kafka", "kafka"),
        ("postgresql://h/d", "psycopg", "postgresql"),
    ],
)
def test_a_client_library_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, module: str, extra: str
) -> None:
    for name in [
        name for name in sys.modules if name.partition(".")[0] == module or "collector.store." in name
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "collector.ini"
    path.write_text(f"[collector]\nstore = {value}\n[keys]\nk = aHVudGVyMg==\n")
    with pytest.raises(ConfigError, match=rf"pip install 'eventpub-sidecar\[{extra}\]'"):
        open_store(load_config(path).settings)
