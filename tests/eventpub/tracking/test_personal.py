"""`Redact` and `Hash`: no value that matches gets past them, wherever it is and whatever adds it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import json
import logging
import types
from collections import ChainMap, UserDict, deque
from functools import partial
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import bounded
from werkzeug.local import LocalProxy

from eventpub import Event, EventQueue, serialize_v2_event
from eventpub.errors import EventPubError
from eventpub.event.to_v2 import to_v2_event
from eventpub.schemas.event.ttypes import Event as V2Event
from eventpub.schemas.event.ttypes import Request, User
from eventpub.serialization.serialize import serialize_json_event
from eventpub.testing import MemoryQueue, capture_events
from eventpub.tracking import AsyncBackend, LoggerBackend, MemoryBackend, RoutingBackend, Tracker
from eventpub.tracking.personal import Hash, Redact

CARD = "4111-1111"


class Key(enum.Enum):
    CARD = "card"


@dataclasses.dataclass
class Payment:
    card: str
    note: str = "n"


@attrs.define
class Basket:
    card: str


class Pair(NamedTuple):
    card: str
    note: str


def pseudonym(text: str, key: bytes = b"pepper") -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def tracked(**data: Any) -> dict[str, Any]:
    return {"name": "paid", "timestamp": 0, "data": data, "context": {}}


# --- which fields match ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("card", ["data.card", "context.card", "data.a.b.card"], ["data.cards", "data.card_id"]),
        ("*.password", ["data.password", "context.user.password"], ["data.password2"]),
        (
            "user.email",
            ["data.user.email", "context.user.email", "data.a.user.email"],
            ["data.email", "data.a.email"],
        ),
        ("data.card", ["data.card"], ["context.card", "data.a.card"]),
        ("user.*.id", ["data.user.a.id"], ["data.user.id", "data.a.id"]),
        ("*_token", ["data.csrf_token", "context.a.b_token"], ["data.token", "data.token_"]),
        ("us*.email", ["data.user.email", "data.usher.email"], ["data.email"]),
    ],
)
def test_a_pattern_is_the_end_of_a_path(pattern: str, matching: list[str], others: list[str]):
    event: dict[str, Any] = {"name": "n", "timestamp": 0, "data": {}, "context": {}}
    for path in matching + others:
        *parents, last = path.split(".")
        items = event
        for parent in parents:
            items = items.setdefault(parent, {})
        items[last] = path
    text = json.dumps(Redact(pattern)(event))
    assert [path for path in matching if f'"{path}"' in text] == []
    assert [path for path in others if f'"{path}"' not in text] == []


@pytest.mark.parametrize("patterns", [(), ("",), ("a..b",), (".a",), ("a.",), (7,), (None,)])
def test_what_is_no_pattern_is_refused(patterns: Any):
    with pytest.raises(ValueError, match="fields: "):
        Redact(*patterns)


def test_the_name_and_the_time_of_an_event_are_not_fields():
    event = Redact("name", "timestamp")({"name": "n", "timestamp": 1, "data": {"name": "Ann", "timestamp": 2}})
    assert event == {"name": "n", "timestamp": 1, "data": {"name": "[redacted]", "timestamp": "[redacted]"}}


# --- wherever it stands ----------------------------------------------------------------------------------


def holding_itself() -> dict[str, Any]:
    held: dict[str, Any] = {"card": CARD}
    held["all"] = [held, {"again": held}]
    return held


def deep(levels: int) -> Any:
    value: Any = {"card": CARD}
    for _ in range(levels):
        value = {"in": [value]}
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"card": CARD},
        lambda: [{"card": CARD}],
        lambda: ({"a": [{"card": CARD}]},),
        lambda: deque([{"card": CARD}]),
        lambda: types.MappingProxyType({"card": CARD}),
        lambda: ChainMap({"card": CARD}),
        lambda: UserDict(card=CARD),
        lambda: types.SimpleNamespace(card=CARD),
        lambda: Payment(CARD),
        lambda: [Payment(CARD)],
        lambda: Basket(CARD),
        lambda: Pair(CARD, "n"),
        lambda: {Key.CARD: CARD},
        lambda: LocalProxy(lambda: {"card": CARD}),
        lambda: LocalProxy(lambda: Payment(CARD)),
        lambda: {"card": [CARD, {"a": CARD}]},
        lambda: User(id="7", roles=["a"]) and {"card": CARD},
        holding_itself,
        lambda: deep(5),
        lambda: deep(150),
    ],
)
@pytest.mark.parametrize("pattern", ["card", "*.card", "c?rd"])
def test_nothing_that_matches_is_written_wherever_it_stands(make: Any, pattern: str):
    router = RoutingBackend({"memory": (memory := MemoryBackend())}, [Redact(pattern)])
    router.send(tracked(value=make(), good=7))
    (event,) = memory.events
    assert event["data"]["good"] == 7
    assert CARD not in serialize_json_event(event).decode()


def test_what_cannot_be_searched_does_not_pass():
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError(CARD)

    event = Redact("card")(tracked(value=Broken(card=CARD), good=7))
    assert event["data"] == {"value": "<unserializable Broken>", "good": 7}


def test_events_of_every_kind_are_searched():
    redact = Redact("card", "id", "user_agent", "status_code")
    own = Event("paid", card=CARD, more={"card": CARD})
    assert CARD not in serialize_json_event(redact(own)).decode()
    struct = V2Event(
        source="s",
        action="a",
        noun="n",
        user=User(id="7"),
        request=Request(user_agent="m", path="/", status_code=200),
        properties={"card": CARD, "b": "c"},
    )
    redact(struct)
    assert serialize_v2_event(struct)
    assert (struct.user, struct.properties) == (User(id="[redacted]"), {"card": "[redacted]", "b": "c"})
    assert struct.request == Request(user_agent="[redacted]", path="/")  # a number has no room for a text
    assert redact({"name": "n", "card": CARD}) == {"name": "n", "card": "[redacted]"}
    assert redact([{"name": "n", "card": CARD}]) == [{"name": "n", "card": "[redacted]"}]
    assert dict(redact(types.MappingProxyType({"card": CARD}))) == {"card": "[redacted]"}


@bounded
@given(
    st.recursive(
        st.just(CARD) | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["card", "a", "b"]), inner, max_size=3)
            | st.tuples(inner)
        ),
        max_leaves=12,
    )
)
def test_any_value_comes_out_as_it_was_but_for_the_fields(value: Any):
    def expected(given: Any) -> Any:
        if isinstance(given, dict):
            return {key: "[redacted]" if key == "card" else expected(item) for key, item in given.items()}
        return [expected(item) for item in given] if isinstance(given, (list, tuple)) else given

    event = Redact("card")(json.loads(json.dumps(tracked(value=value))))
    assert event["data"]["value"] == expected(value)


# --- before every backend and log ------------------------------------------------------------------------


def test_it_runs_before_every_backend_and_log_and_after_whatever_adds_to_the_event(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)

    class Fails:
        def send(self, event: Any) -> None:
            seen.append(repr(event))
            raise RuntimeError(event)

    def add(event: Any) -> None:
        event["data"]["card"] = CARD

    def fail(event: Any) -> None:
        raise KeyError(event["data"]["card"])

    seen: list[str] = []
    memory = MemoryBackend()
    with capture_events() as captured, AsyncBackend(behind := MemoryBackend()) as later:
        tracker = Tracker(
            {
                "queue": EventQueue("redacted"),
                "log": LoggerBackend(name="redacted"),
                "router": RoutingBackend({"memory": memory}, [lambda _event: None]),
                "later": later,
                "fails": Fails(),
            },
            processors=[Redact("card", "*.password")],
        )
        tracker.routing_backend.register_processor(add)
        tracker.routing_backend.register_processor(fail)
        with tracker.context("login", {"user": {"password": CARD}}):
            tracker.emit("paid", {"card": CARD})
    written = [*seen, *caplog.messages, repr(memory.events), repr(behind.events), repr(captured.messages)]
    assert len(captured.messages) == len(memory.events) == len(behind.events) == len(seen) == 1
    assert all("[redacted]" in text for text in (written[0], *written[-3:]))
    assert [text for text in written if CARD in text] == []


def test_what_was_emitted_is_left_as_it_was():
    data, user = {"card": CARD}, {"user": {"email": "ann@example.com"}}
    tracker = Tracker({"memory": MemoryBackend()}, processors=[Redact("card"), Hash("email", key=b"k")])
    with tracker.context("login", user):
        tracker.emit("paid", data)
    assert (data, user) == ({"card": CARD}, {"user": {"email": "ann@example.com"}})


# --- pseudonyms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"k", b"x" * 64, b"x" * 65, bytes(range(256))])
@pytest.mark.parametrize("text", ["", "ann@example.com", "ä\U0001f600", "x" * 1000])
def test_a_pseudonym_is_the_hmac_sha256_of_the_text(key: bytes, text: str):
    event = Hash("email", key=key)(tracked(email=text))
    assert event["data"]["email"] == pseudonym(text, key)


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), ("7", "7"), (True, "true"), (b"7", "7"), (1.5, "1.5"), ([1, "a"], '[1,"a"]')]
)
def test_what_is_not_text_has_the_pseudonym_of_its_text(value: Any, text: str):
    assert Hash("id", key=b"pepper")(tracked(id=value))["data"]["id"] == pseudonym(text)


def test_none_stays_none_and_lone_surrogates_have_a_pseudonym():
    event = Hash("email", key=b"k")(tracked(email=None, more={"email": "\ud800"}))
    assert event["data"]["email"] is None
    assert len(event["data"]["more"]["email"]) == 64


def test_the_key_is_found_in_a_variable_or_a_file_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
):
    monkeypatch.setenv("PII_KEY", "pepper")
    (tmp_path / "key").write_text("pepper\n")
    for place in ({"key_variable": "PII_KEY"}, {"key_file": tmp_path / "key"}, {"key": b"pepper"}):
        hashing = Hash("email", **place)  # type: ignore[arg-type]
        assert hashing(tracked(email="a"))["data"]["email"] == pseudonym("a")
        assert "pepper" not in repr(hashing)
        assert repr(hashing) == "Hash('email')"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ({}, "takes one place"),
        ({"key": b"k", "key_variable": "K"}, "takes one place"),
        ({"key_variable": "EVENTPUB_TEST_UNSET"}, "EVENTPUB_TEST_UNSET' is not set"),
        ({"key_file": "/nonexistent/key"}, "cannot be read: No such file"),
        ({"key_file": "/dev/null"}, "is empty"),
        ({"key": b""}, "is empty"),
    ],
)
def test_without_a_key_there_are_no_pseudonyms(place: dict[str, Any], reason: str):
    with pytest.raises(EventPubError, match=reason):
        Hash("email", **place)


def test_a_version_2_event_has_pseudonyms_in_its_structs():
    queue = MemoryQueue[Any](event_serializer=serialize_v2_event)

    class AsStructs:
        def send(self, event: Any) -> None:
            queue.put(to_v2_event(event))

    tracker = Tracker({"queue": AsStructs()}, processors=[Hash("user_id", key=b"pepper")])
    with tracker.context("user", {"user_id": "7"}):
        tracker.emit("shop.tea.buy")
    assert queue.events[0].user.id == pseudonym("7")


def test_the_order_of_processors_lets_nothing_past():
    memory = MemoryBackend()

    def add(event: Any) -> None:
        event["data"]["card"] = CARD
        event["context"]["user"] = {"email": CARD, "id": "7"}

    guards = [Redact("card", "*.email"), Hash("user.id", key=b"pepper")]
    for processors in ([to_v2_event, *guards], [*guards, partial(to_v2_event, action_first=True)], [*guards]):
        tracker = Tracker({"memory": memory}, processors=processors)
        if processors[0] is not to_v2_event:
            tracker.processors.insert(0, add)
        tracker.emit("shop.tea.buy", {"card": CARD})
    late = Tracker({"memory": memory}, processors=guards)
    late.processors.append(add)
    late.emit("paid")
    assert len(memory.events) == 4
    assert CARD not in repr(memory.events)
    assert memory.events[1].user.id == memory.events[3]["context"]["user"]["id"] == pseudonym("7")


def test_what_was_converted_before_is_searched_as_far_as_its_names_last():
    data = {"more": {"card": CARD, "b": 1}, "good": [1]}
    made = to_v2_event({"name": "paid", "data": data, "context": {"user": {"email": CARD}}})
    Redact("card", "*.email")(made)
    assert CARD not in serialize_v2_event(made).decode()
    assert made.properties["good"] == "[1]"
    assert json.loads(made.properties["more"]) == {"card": "[redacted]", "b": 1}


def test_a_key_with_dots_is_matched_by_the_pattern_that_spells_it_out():
    event = Redact("http.client_ip")(
        tracked(**{"http.client_ip": CARD, "http": {"client_ip": CARD, "path": "/"}})
    )
    assert event["data"] == {"http.client_ip": "[redacted]", "http": {"client_ip": "[redacted]", "path": "/"}}
