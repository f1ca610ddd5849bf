"""Processors and own types by settings, as every framework reads them: `integrations/app_processors.py`."""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from eventpub.errors import ConfigError
from eventpub.integrations.app_events import AppEvents, open_events
from eventpub.integrations.flask import EventPub
from eventpub.schemas.event.ttypes import Event, User
from eventpub.testing import MemoryQueue, capture_events
from eventpub.tracking import RateLimit, Sample

SETTINGS = {
    "queue_name": "guarded",
    "serializer": "json",
    "redact": "card, *.password",
    "hash": "email",
    "hash_key_variable": "PII_KEY",
}


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


def write_money(value: Any) -> Any:
    if isinstance(value, Money):
        return str(Decimal(value.cents) / 100)
    raise TypeError


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PII_KEY", "pepper")


def opened(**settings: Any) -> AppEvents:
    return open_events({**SETTINGS, **settings}, "EVENTPUB")


def test_what_settings_name_is_kept_out_of_tracked_events_and_of_those_put_directly():
    with capture_events() as captured:
        events = opened()
        mine = {"name": "paid", "card": "4111", "user": {"email": "ann@example.com", "password": "x"}}
        events.tracker.emit("paid", mine)
        events.queue.put(mine)
    tracked, put = captured.decoded
    email = hmac.new(b"pepper", b"ann@example.com", hashlib.sha256).hexdigest()
    guarded = {"name": "paid", "card": "[redacted]", "user": {"email": email, "password": "[redacted]"}}
    assert (tracked["data"], put) == (guarded, guarded)
    assert mine["card"] == "4111"


def test_structs_are_guarded_alike():
    with capture_events() as captured:
        events = opened(serializer="v2", hash="user.id")
        user, properties = User(id="7"), {"card": "4111"}
        events.queue.put(Event(source="s", action="a", noun="n", user=user, properties=properties))
        with events.tracker.context("user", {"user": {"id": "7"}}):
            events.tracker.emit("shop.tea.buy", {"card": "4111"})
    put, tracked = captured.decoded
    assert put.user == tracked.user == User(id=hmac.new(b"pepper", b"7", hashlib.sha256).hexdigest())
    assert put.properties == tracked.properties == {"card": "[redacted]"}


def test_they_come_in_an_order_that_lets_nothing_past():
    calls: list[str] = []

    def add(event: Any) -> None:
        calls.append("add")
        event["data"]["card"] = "4111"

    with capture_events() as captured:
        events = opened(processors=[add], sample="page.*: 0", rate_limit="search.*: 1")
        kinds = [type(processor).__name__ for processor in events.tracker.processors]
        assert kinds == ["Sample", "RateLimit", "function", "Redact", "Hash"]
        for name in ("page.view", "search.a", "search.b", "paid"):
            events.tracker.emit(name)
    assert [event["name"] for event in captured.decoded] == ["search.a", "paid"]
    assert [event["data"] for event in captured.decoded] == [{"card": "[redacted]"}] * 2
    assert len(calls) == 2


def test_python_may_write_lists_and_dicts():
    with capture_events():
        shares = {"page.*": 0.5, "a": 1}
        events = opened(redact=["card"], hash=("email",), sample=shares, sample_by="user", rate_limit={"s": 5})
    sample, limit, *_ = events.tracker.processors
    assert isinstance(sample, Sample)
    assert isinstance(limit, RateLimit)
    assert (sample.rates, sample.by) == ({"page.*": 0.5, "a": 1}, "user")
    assert (limit.names, limit.per_second) == (("s",), 5)


def test_a_framework_reads_them(queue_name: str):
    app = Flask("guarded")
    app.config.update(
        EVENTPUB_QUEUE_NAME=queue_name,
        EVENTPUB_SERIALIZER="json",
        EVENTPUB_REDACT="card",
        EVENTPUB_SAMPLE={"page.*": 0},
        EVENTPUB_SERIALIZER_DEFAULT=write_money,
    )
    with capture_events() as captured:
        events = EventPub(app)
        with app.app_context():
            events.tracker.emit("page.view")
            events.tracker.emit("paid", {"card": "4111", "price": Money(450)})
    (event,) = captured.decoded
    assert event["data"] == {"card": "[redacted]", "price": "4.5"}


@pytest.mark.parametrize("serializer", ["json", "v2"])
def test_own_types_are_written_by_what_settings_name(serializer: str):
    with capture_events() as captured:
        events = opened(serializer=serializer, serializer_default=f"{__name__}:write_money")
        events.tracker.emit("shop.tea.buy", {"price": Money(450)})
    (event,) = captured.decoded
    found = event["data"] if serializer == "json" else event.properties
    assert found == {"price": "4.5"}


def test_every_tracked_event_has_an_id_of_its_own():
    with capture_events() as captured:
        for serializer in ("json", "v2"):
            events = opened(serializer=serializer)
            with events.tracker.context("request", {"uuid": "not the event's"}):
                for _ in range(2):
                    events.tracker.emit("shop.tea.buy")
        events.tracker.emit("shop.tea.buy", {"uuid": "mine"})
    ids = [event["uuid"] if isinstance(event, dict) else event.uuid for event in captured.decoded]
    assert len(set(ids)) == 5
    assert ids[-1] == "mine"
    assert {len(one) for one in ids[:-1]} == {36}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"redact": "a..b"}, r"\[EVENTPUB\] redact = 'a..b': is not a pattern"),
        ({"redact": "a,,b"}, r"\[EVENTPUB\] redact = a,,b: expected patterns with commas between"),
        ({"hash_key_variable": "EVENTPUB_UNSET"}, r"hash_key_variable = 'EVENTPUB_UNSET': is not set"),
        ({"hash_key_variable": ""}, r"\[EVENTPUB\] hash = .*takes one place: key_variable, key_file"),
        ({"hash_key_file": "/nonexistent"}, r"takes one place"),
        ({"sample": "page.*"}, r"\[EVENTPUB\] sample = page.*: expected patterns with a number each"),
        ({"sample": "page.*: 2"}, r"\[EVENTPUB\] sample = .*is not a share"),
        ({"rate_limit": "search.*: 0"}, r"\[EVENTPUB\] rate_limit = 0.0: is not a number of events above 0"),
        ({"serializer_default": "nowhere:at_all"}, r"serializer_default = nowhere:at_all: expected"),
        ({"serializer": "json:dumps", "serializer_default": f"{__name__}:write_money"}, "goes with"),
        ({"redcat": "card"}, r"redcat.*unknown key.*redact"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        opened(queue=MemoryQueue[Any](), **settings)


def test_a_queue_that_is_open_already_is_guarded_on_the_way_from_the_tracker():
    queue = MemoryQueue[Any]()
    opened(queue=queue).tracker.emit("paid", {"card": "4111"})
    assert json.loads(queue.messages[0])["data"] == {"card": "[redacted]"}
