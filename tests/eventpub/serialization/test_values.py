"""A value that cannot be written costs that value and not the event: `substitutes`, `unwritable`, repairs."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import enum
import fractions
import ipaddress
import json
import logging
import math
import os
import pathlib
import types
import uuid
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import attrs
import pytest
from django.utils.functional import SimpleLazyObject, lazystr
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import bounded
from werkzeug.local import LocalProxy

from eventpub import EventQueue
from eventpub.errors import EventSerializationError, UnwritableValueError
from eventpub.schemas.event.ttypes import Event, Request, User
from eventpub.serialization.serialize import serialize_event, serialize_json_event, serialize_v2_event
from eventpub.serialization.thrift_json_decode import decode_struct
from eventpub.serialization.unwritable import replaced_values, strict_values
from eventpub.testing import MemoryQueue, capture_events
from eventpub.tracking import Tracker

CARD = "4111 1111 1111 1111"


@dataclasses.dataclass
class Address:
    street: str
    zone: Any = None


@attrs.define
class Basket:
    items: list[int]


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = "red"


class Card:
    """What must not be shown: not by its repr, not by its text, not by what it raises."""

    def __repr__(self) -> str:
        return CARD

    def __float__(self) -> float:
        raise ValueError(CARD)


class Unreadable(dict[str, Any]):
    def items(self) -> Any:
        raise LookupError(CARD)


def written(value: Any) -> Any:
    return json.loads(serialize_json_event({"name": "n", "value": value, "last": 1}))["value"]


def v2(**fields: Any) -> Any:
    serialized = serialize_v2_event(Event(source="s", action="a", noun="n", **fields))
    return decode_struct(Event, json.loads(serialized))


# --- substitutes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dt.timedelta(hours=1, milliseconds=5), 3600.005),
        (dt.time(12, 30), "12:30:00"),
        (dt.timezone.utc, "UTC"),
        (pathlib.PurePosixPath("/srv/tea"), "/srv/tea"),
        (ipaddress.ip_address("192.0.2.7"), "192.0.2.7"),
        (ipaddress.ip_address("2001:db8::1"), "2001:db8::1"),
        (ipaddress.ip_network("192.0.2.0/24"), "192.0.2.0/24"),
        (ipaddress.ip_interface("192.0.2.7/24"), "192.0.2.7/24"),
        (fractions.Fraction(1, 3), "1/3"),
        (collections.deque([1, 2]), [1, 2]),
        (collections.UserDict(a=1), {"a": 1}),
        (collections.UserList([1]), [1]),
        (collections.UserString("tea"), "tea"),
        (collections.Counter("aa"), {"a": 2}),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        ({"a": 1}.items(), [["a", 1]]),
        (range(3), [0, 1, 2]),
        (array.array("i", [1, 2]), [1, 2]),
        (Point(1, 2), [1, 2]),
        (types.SimpleNamespace(a=1), {"a": 1}),
        (Address("Elm", Address("Oak")), {"street": "Elm", "zone": {"street": "Oak", "zone": None}}),
        (Basket([1]), {"items": [1]}),
        (User(id="7"), {"id": "7"}),
        (lazystr("Tea"), "Tea"),  # as gettext_lazy makes
        (LocalProxy(lambda: "tea"), "tea"),
        (LocalProxy(lambda: 7), 7),
        (LocalProxy(lambda: True), True),
        (LocalProxy(lambda: None), None),
        (LocalProxy(lambda: {"a": {1}}), {"a": [1]}),
        (LocalProxy(lambda: dt.date(2024, 2, 29)), "2024-02-29"),
        (LocalProxy(lambda: Address("Elm")), {"street": "Elm", "zone": None}),
        (SimpleLazyObject(lambda: "tea"), "tea"),
        (SimpleLazyObject(lambda: [1]), [1]),
    ],
)
def test_common_values_are_written_also_where_values_are_strict(value: Any, expected: Any):
    with strict_values():
        assert written(value) == expected
        assert written([{"a": value}]) == [{"a": expected}]


def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    with strict_values():
        assert written([numpy.int64(7), numpy.float32(0.5), numpy.bool_(True), numpy.str_("a")]) == [
            7,
            0.5,
            True,
            "a",
        ]
        assert written(numpy.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
        assert written(numpy.datetime64("2024-02-29T12:00:00.5", "ns")) == "2024-02-29T12:00:00.500000"
        assert written(numpy.array(["2024-02-29"], dtype="datetime64[D]")) == ["2024-02-29T00:00:00"]
        assert written(numpy.timedelta64(1500, "ms")) == 1.5
    assert written(numpy.float64("nan")) == "<unserializable float64>"
    assert written(numpy.datetime64("NaT", "s")) == "<unserializable datetime64>"
    assert written(numpy.zeros(200_000)) == "<unserializable ndarray>"


def test_models_of_pydantic_are_objects_and_their_secrets_stay_secret():
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")
    model = pydantic.create_model("Login", name=str, password=pydantic.SecretStr)(name="ann", password=CARD)
    assert written(model) == {"name": "ann", "password": "<unserializable SecretStr>"}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (dt.date(2024, 2, 29), "2024-02-29"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Colour.RED, "red"),
        (Decimal("1.5"), "1.5"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (5, "5"),
    ],
)
def test_keys_that_have_a_text_are_written_as_it(key: Any, text: str):
    with strict_values():
        assert written({key: {key: 1}}) == {text: {text: 1}}


# --- markers ---------------------------------------------------------------------------------------------


def holds_itself() -> dict[str, Any]:
    held: dict[str, Any] = {"a": 1}
    held["self"] = [held]
    return held


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Card(), "<unserializable Card>"),
        (Card, "<unserializable type>"),
        (ValueError(CARD), "<unserializable ValueError>"),
        ((item for item in CARD), "<unserializable generator>"),
        (LocalProxy(Card), "<unserializable Card>"),
        (Unreadable(a=1), "<unserializable Unreadable>"),
        (math.nan, "<unserializable float>"),
        (-math.inf, "<unserializable float>"),
        (Decimal("sNaN"), "<unserializable Decimal>"),
        ([10**5000], ["<unserializable int>"]),
        (range(10**12), "<unserializable range>"),
        (holds_itself(), {"a": 1, "self": ["<unserializable dict>"]}),
        ({(1, 2): 3, (3, 4): 5}, {"<unserializable tuple>": 3, "<unserializable tuple> 2": 5}),
        ({Card(): 1, math.nan: 2}, {"<unserializable Card>": 1, "<unserializable float>": 2}),
        ("a\ud800b", "a\ufffdb"),
        ({"\udfff": "\ud83d\ude00"}, {"\ufffd": "\U0001f600"}),
        (os.fsdecode(b"/srv/\xff"), "/srv/\ufffd"),
    ],
)
def test_a_bad_value_is_replaced_by_a_marker_and_the_rest_is_sent(
    value: Any, expected: Any, caplog: pytest.LogCaptureFixture
):
    before = replaced_values.total()
    assert written({"bad": value, "good": [7]}) == {"bad": expected, "good": [7]}
    assert replaced_values.total() > before
    assert CARD not in caplog.text
    with strict_values(), pytest.raises(UnwritableValueError) as refused:
        written({"bad": value})
    assert "value.bad" in str(refused.value)
    assert CARD not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_proxy_that_stands_for_nothing_here_is_replaced():
    assert written([LocalProxy(lambda: 1 / 0), 7]) == ["<unserializable LocalProxy>", 7]


def test_a_value_as_deep_as_python_goes_costs_its_depths_alone():
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(50_000):
        inner["in"] = {}
        inner = inner["in"]
    wide: list[Any] = []
    wide += [wide] * 50
    event = json.loads(serialize_json_event({"name": "n", "deep": deep, "wide": wide}))
    assert event["name"] == "n"
    assert event["wide"] == ["<unserializable list>"] * 50


def test_the_log_says_type_and_path_once_and_never_the_value(caplog: pytest.LogCaptureFixture):
    for _ in range(3):
        written({"payment": {"method": Card()}, f"{CARD}@example.com": Card()})
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "value.payment.method is of type Card" in lines[0]
    assert "value[key] is of type Card" in lines[1]  # a key that is no name may be data
    assert CARD not in "".join(lines)
    assert replaced_values["Card"] >= 6


def test_a_log_handler_that_emits_what_cannot_be_written_comes_to_an_end(caplog: pytest.LogCaptureFixture):
    class Emits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            serialize_json_event({"name": "log", "args": object(), "at": record.name, "again": {1: object()}})

    handler = Emits()
    logging.getLogger("eventpub").addHandler(handler)
    try:
        written({"fresh": object()})
    finally:
        logging.getLogger("eventpub").removeHandler(handler)
    assert len(caplog.records) <= 3


def test_an_event_that_cannot_be_read_at_all_is_an_error_without_its_values():
    with pytest.raises(EventSerializationError) as refused:
        serialize_json_event(Unreadable(card=CARD))
    assert (refused.value.field, refused.value.value) == ("event", "of type Unreadable")
    assert CARD not in str(refused.value)


def test_a_class_with_a_hostile_metaclass_is_a_bad_value_like_any_other():
    class Hostile(type):
        def __getattribute__(cls, name: str) -> Any:
            raise KeyError(CARD)

        def __instancecheck__(cls, instance: object) -> bool:
            raise KeyError(CARD)

    class Value(metaclass=Hostile):
        pass

    made = object.__new__(Value)
    assert written(made) == "<unserializable Value>"
    assert v2(properties={"a": made, "b": "c"}).properties == {"a": "<unserializable Value>", "b": "c"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.tuples(), inner, max_size=3)
    ),
    max_leaves=8,
)


@bounded
@given(JSON_VALUES, JSON_VALUES)
def test_whatever_is_bad_is_sent_and_leaves_its_neighbours_alone(one: Any, other: Any):
    event = {"name": "n", "one": one, "bad": object(), "other": other, "good": [1, {"a": "b"}]}
    read = json.loads(serialize_json_event(event))
    assert (read["name"], read["good"], read["bad"]) == ("n", [1, {"a": "b"}], "<unserializable object>")
    assert list(read) == list(event)


# --- Thrift structs --------------------------------------------------------------------------------------


def test_a_value_of_a_wrong_type_in_a_text_field_becomes_text():
    event = v2(
        user=User(id=7),
        properties={"n": 5, "id": uuid.UUID(int=5), "l": [1, {"a": None}], 3: True, "s": "\ud800"},
    )
    assert event.user.id == "7"
    assert event.properties == {
        "n": "5",
        "id": "00000000-0000-0000-0000-000000000005",
        "l": '[1,{"a":null}]',
        "3": "true",
        "s": "\ufffd",
    }


def test_a_value_of_a_wrong_type_elsewhere_is_left_out_alone():
    before = replaced_values.total()
    event = v2(
        client_timestamp="noon",
        measurements={"good": 1.5, "bad": Card(), "also": dt.timedelta(seconds=2)},
        user={"id": "7"},
        request=Request(id="r", status_code=2**40, languages=["en", Card()]),
        properties={"card": Card()},
    )
    assert (event.client_timestamp, event.user) == (None, None)
    assert event.measurements == {"good": 1.5, "also": 2.0}
    assert event.request == Request(id="r", languages=["en", "<unserializable Card>"])
    assert event.properties == {"card": "<unserializable Card>"}
    assert replaced_values.total() == before + 6


def test_a_struct_without_a_required_field_is_still_refused():
    with pytest.raises(EventSerializationError, match="noun is None: the field is required"):
        serialize_v2_event(Event(source="s", action="a", properties={"a": object()}))


def test_an_error_of_a_struct_shows_no_value():
    with strict_values(), pytest.raises(UnwritableValueError) as refused:
        v2(measurements={"card": Card()})
    assert str(refused.value).startswith("the event cannot be serialized: measurements.card is of type Card")
    assert CARD not in str(refused.value)


# --- the application's own types -------------------------------------------------------------------------


def test_a_default_decides_about_the_applications_own_types():
    def plain(value: Any) -> Any:
        if isinstance(value, (Card, Address)):
            return f"a {type(value).__name__}"
        raise TypeError

    with strict_values():
        assert json.loads(serialize_json_event({"a": Card(), "b": Address("x"), "c": {1}}, default=plain)) == {
            "a": "a Card",
            "b": "a Address",
            "c": [1],
        }
    assert json.loads(serialize_event({"a": complex(1)}, default=plain)) == {"a": "<unserializable complex>"}
    struct = Event(source="s", action="a", noun="n", properties={"card": Card()})
    read = decode_struct(Event, json.loads(serialize_event(struct, default=plain)))
    assert read.properties == {"card": "a Card"}


def test_a_default_that_fails_or_returns_the_value_costs_that_value():
    def fail(_value: Any) -> Any:
        raise LookupError(CARD)

    for default in (fail, lambda value: value, lambda value: [value]):
        assert json.loads(serialize_json_event({"a": Card(), "b": 1}, default=default))["b"] == 1


def test_a_queue_can_be_given_one():
    queue: MemoryQueue[Any] = MemoryQueue(
        event_serializer=partial(serialize_json_event, default=lambda _: "own")
    )
    queue.put({"card": Card()})
    assert queue.decoded == [{"card": "own"}]
    with capture_events() as captured:
        EventQueue("own", serializer_default=lambda _: "own").put({"card": Card()})
    assert captured.decoded == [{"card": "own"}]


# --- strict in tests -------------------------------------------------------------------------------------


def test_test_queues_are_strict_unless_told_otherwise():
    with pytest.raises(UnwritableValueError):
        MemoryQueue[Any]().put({"a": object()})
    queue = MemoryQueue[Any](strict=False)
    queue.put({"a": object()})
    assert queue.decoded == [{"a": "<unserializable object>"}]


def test_captured_events_are_strict_and_emit_lets_the_test_know():
    with capture_events() as captured:
        tracker = Tracker({"queue": EventQueue("strict")})
        with pytest.raises(UnwritableValueError, match=r"data\.card is of type Card"):
            tracker.emit("paid", {"card": Card()})
        with strict_values(strict=False):
            tracker.emit("paid", {"card": Card()})
    assert len(captured.events) == 1
    with capture_events(strict=False) as lenient:
        tracker = Tracker({"queue": EventQueue("strict")})
        tracker.emit("paid", {"card": Card()})
    assert lenient.decoded[0]["data"] == {"card": "<unserializable Card>"}
