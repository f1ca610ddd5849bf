"""Tracked events and `Event`s as version 2 events: `eventpub/event/to_v2.py`."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import math
import time
import uuid
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import by_thrift

from eventpub import Event, EventSerializationError, processing, serialize_v2_event, to_v2_event
from eventpub.schemas.event import ttypes
from eventpub.schemas.event.ttypes import App, Device, Experiment, Request, Session, User
from eventpub.serialization.thrift_spec import read_fields
from eventpub.serialization.unwritable import strict_values

NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 5999, tzinfo=dt.timezone.utc)
NOON_MS = 1_709_208_000_005


class Color(enum.Enum):
    GREEN = "green"


def test_data_of_an_event_that_is_called_request_and_is_none_stays_data():
    made = to_v2_event(Event("buy", request={"tea": "oolong"}, ctxt={"request": {"id": "r1"}}))
    assert (made.request, made.properties) == (Request(id="r1"), {"request": '{"tea":"oolong"}'})


@pytest.mark.parametrize("part", ["data", "context"])
@pytest.mark.parametrize("key", ["n", "user_id", "user"])
def test_a_number_of_more_digits_than_python_prints_is_refused_by_its_key(part: str, key: str):
    value: Any = {"id": 10**5000} if key == "user" else 10**5000
    with strict_values(), pytest.raises(EventSerializationError, match=key):
        to_v2_event({"name": "buy", part: {key: value}})


def test_an_event_of_processing_alone_is_told_which_event_is_taken():
    class Sold(processing.Event):
        name = "sold"

    with pytest.raises(EventSerializationError, match=r"not a mapping, eventpub\.Event or Thrift struct"):
        to_v2_event(Sold())


def tracked(name: str = "shop.order.placed", **parts: Any) -> dict[str, Any]:
    return {"name": name, "timestamp": NOON, "data": {}, "context": {}, **parts}


def minimal(**values: Any) -> ttypes.Event:
    given = {"source": "shop", "noun": "order", "action": "placed", "client_timestamp": NOON_MS, **values}
    return ttypes.Event(**given)


# --- what, when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source", "noun", "action"),
    [
        ("shop.order.placed", "shop", "order", "placed"),
        ("org.example.video.stopped", "org.example", "video", "stopped"),
        ("order.placed", "unknown", "order", "placed"),
        ("placed", "unknown", "unknown", "placed"),
        ("", "unknown", "unknown", "unknown"),
        ("..shop..order.placed.", "shop", "order", "placed"),
    ],
)
def test_a_dotted_name_ends_in_what_was_done_to_what(name: str, source: str, noun: str, action: str):
    made = to_v2_event(tracked(name))
    assert (made.source, made.noun, made.action) == (source, noun, action)
    made = to_v2_event(tracked(name), action_first=True)
    assert made.source == source
    if noun != "unknown":
        assert (made.noun, made.action) == (action, noun)


def test_a_name_without_a_source_is_of_the_app():
    assert to_v2_event(tracked("order.placed", context={"app": {"name": "shop-web"}})).source == "shop-web"
    assert to_v2_event(tracked("order.placed", context={"app_name": "shop-web"})).source == "shop-web"
    assert to_v2_event(tracked(context={"app_name": "shop-web"})).source == "shop"


def test_a_mapping_without_a_name_is_of_an_unknown_kind():
    assert to_v2_event({}) == ttypes.Event(source="unknown", noun="unknown", action="unknown")


@pytest.mark.parametrize(
    "when",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(dt.timezone(dt.timedelta(hours=5))),
        NOON.isoformat(),
        NOON_MS / 1000,
    ],
)
def test_the_time_becomes_milliseconds_since_the_epoch(when: Any):
    assert to_v2_event(tracked(timestamp=when)) == minimal()


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T12:00:00.005Z",
        "2024-02-29t12:00:00.005z",
        "2024-02-29 12:00:00.00500",
        "2024-02-29T12:00:00,0050009+00:00",
        "2024-02-29T17:30:00.005+0530",
        "2024-02-29T07:00:00.005-05",
    ],
)
def test_a_time_as_other_languages_write_it_is_read_on_every_python(text: str):
    assert to_v2_event(tracked(timestamp=text)) == minimal()


@pytest.mark.parametrize(
    "text", ["2024-02-29T12:00:00Z", "2024-02-29T14:00:00+02:00", "2024-02-29T12:00:00.0Z"]
)
def test_a_time_of_whole_seconds_is_read(text: str):
    assert to_v2_event(tracked(timestamp=text)) == minimal(client_timestamp=NOON_MS // 1000 * 1000)


def test_a_time_without_a_zone_is_in_utc_wherever_this_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert to_v2_event(tracked(timestamp=NOON.replace(tzinfo=None))) == minimal()
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "when", ["noon", "2024-02-30T12:00:00Z", "2024-02-29T12:00:01Zulu", object(), math.nan, math.inf, []]
)
def test_a_time_that_is_none_is_refused(when: Any):
    with strict_values(), pytest.raises(EventSerializationError, match=r"timestamp is .*ISO 8601"):
        to_v2_event(tracked(timestamp=when))


def test_a_time_that_is_not_known_is_not_set():
    assert to_v2_event(tracked(timestamp=None)) == minimal(client_timestamp=None)


# --- data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("green", "green"),
        (Color.GREEN, "green"),
        (True, "true"),
        (False, "false"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (dt.date(2020, 1, 2), "2020-01-02"),
        (b"\xff", "/w=="),
        ([1, "a", None], '[1,"a",null]'),
        ({"a": {"b": dt.date(2020, 1, 2)}}, '{"a":{"b":"2020-01-02"}}'),
        (2**60 + 1, "1152921504606846977"),
        (10**400, "1" + "0" * 400),
        (math.nan, "NaN"),
    ],
)
def test_what_is_no_number_is_a_property(value: Any, text: str):
    assert to_v2_event(tracked(data={"key": value})) == minimal(properties={"key": text})


@pytest.mark.parametrize("value", [0, 12.5, -3, 2**60, 1e300])
def test_a_number_is_a_measurement(value: float):
    made = to_v2_event(tracked(data={"key": value}))
    assert made == minimal(measurements={"key": float(value)})
    assert type(made.measurements["key"]) is float


def test_none_is_not_set():
    assert (
        to_v2_event(tracked(data={"key": None}, context={"user_id": None, "request": {"id": None}}))
        == minimal()
    )


def test_keys_beside_data_and_context_count_as_data():
    assert to_v2_event(tracked(color="green", data="text")) == minimal(
        properties={"color": "green", "data": "text"}
    )


def test_two_values_of_one_key_are_refused():
    twice = tracked(color="green", data={"color": "red"})
    with strict_values(), pytest.raises(EventSerializationError, match="give one of the two another name"):
        to_v2_event(twice)
    assert to_v2_event(twice) == minimal(properties={"color": "red"})


def test_a_value_that_cannot_be_written_is_named():
    with strict_values(), pytest.raises(EventSerializationError, match="bad"):
        to_v2_event(tracked(data={"bad": object()}))
    assert to_v2_event(tracked(data={"bad": object()})) == minimal(
        properties={"bad": "<unserializable object>"}
    )


def test_ids_are_found_wherever_they_stand():
    ids = {"uuid": "u1", "correlation_id": "c1", "noun_id": "o1"}
    assert to_v2_event(tracked(data=ids)) == minimal(**ids)
    in_context = {**ids, "uuid": None}
    assert to_v2_event(tracked(context=ids)) == minimal(**in_context, properties={"context.uuid": "u1"})
    assert to_v2_event(tracked(**ids)) == minimal(**ids)
    other = to_v2_event(tracked(data={"noun_id": "o2"}, context={"noun_id": "o1"}))
    assert (other.noun_id, other.properties) == ("o1", {"noun_id": "o2"})
    assert to_v2_event(tracked(data={"noun_id": 5})) == minimal(measurements={"noun_id": 5.0})


# --- context ---------------------------------------------------------------------------------------------


def test_structs_are_filled_by_the_names_of_their_fields():
    made = to_v2_event(
        tracked(
            context={
                "user": {"id": 7, "is_logged_in": True, "roles": ("employee",)},
                "request": UserDict(id="r1", status_code=201, duration_ms=12),
                "device": Device(id="d1", screen_width_px=412),
                "experiments": [
                    {"name": "checkout", "variant": "b"},
                    Experiment(name="other", is_override=True),
                ],
            }
        )
    )
    assert made == minimal(
        user=User(id="7", is_logged_in=True, roles=["employee"]),
        request=Request(id="r1", status_code=201, duration_ms=12.0),
        device=Device(id="d1", screen_width_px=412),
        experiments=[Experiment(name="checkout", variant="b"), Experiment(name="other", is_override=True)],
    )


def test_flat_keys_reach_every_field_of_every_struct():
    made = to_v2_event(
        tracked(
            context={"user_id": "u", "app_version": "1.0", "session": "s", "ip": "203.0.113.9", "agent": "curl"}
        )
    )
    assert made == minimal(
        user=User(id="u"),
        app=App(version="1.0"),
        session=Session(id="s"),
        request=Request(client_address="203.0.113.9", user_agent="curl"),
    )
    texts = {
        f"{struct.name}_{field.name}"
        for struct in read_fields(ttypes.Event)
        if struct.type.struct
        for field in read_fields(struct.type.struct)
        if field.type.leaf == "text"
    }
    assert len(texts) > 30
    assert to_v2_event(tracked(context=dict.fromkeys(texts, "x"))).properties is None


def test_what_has_no_field_in_a_struct_or_does_not_fit_is_kept_under_its_path():
    made = to_v2_event(
        tracked(
            context={
                "course": "c1",
                "user": {"id": "u", "badge": "gold", "roles": "employee", "is_logged_in": 1},
                "request": {"status_code": 2**31, "method": ["GET"]},
                "session_event_number": True,
                "geo": "Vienna",
                "experiments": [{"name": "checkout", "color": "red"}],
            }
        )
    )
    assert made == minimal(
        user=User(id="u"),
        properties={
            "context.course": "c1",
            "context.user.badge": "gold",
            "context.user.roles": "employee",
            "context.request.method": '["GET"]',
            "context.session_event_number": "true",
            "context.geo": "Vienna",
            "context.experiments": '[{"name":"checkout","color":"red"}]',
        },
        measurements={"context.user.is_logged_in": 1.0, "context.request.status_code": 2.0**31},
    )


def test_experiments_that_are_no_list_are_kept_under_their_path():
    made = to_v2_event(tracked(context={"experiments": {"name": "checkout"}}))
    assert made == minimal(properties={"context.experiments": '{"name":"checkout"}'})


def test_of_two_values_for_a_field_the_first_is_set_and_the_other_kept():
    made = to_v2_event(
        tracked(context={"user": {"id": "u1"}, "user_id": "u2", "request_id": "r", "request": {"id": "r"}})
    )
    assert made == minimal(user=User(id="u1"), request=Request(id="r"), properties={"context.user_id": "u2"})


# --- Events ----------------------------------------------------------------------------------------------


def test_an_event_keeps_id_times_data_and_context(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("hello")
    event = Event("shop.order.placed", "u1", ctxt={"user_id": 7}, color="green", begin_time=NOON_MS / 1000)
    event.price = 12.5
    event.set_formatter("color", lambda key, value: {f"{key}_name": value})
    event.attach_file(log)
    event.end_time = NOON_MS / 1000 + 1
    assert to_v2_event(event) == minimal(
        uuid="u1",
        user=User(id="7"),
        properties={
            "color_name": "green",
            "end_time": "2024-02-29T12:00:01.005000+00:00",
            "attachments": '{"log":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}',
        },
        measurements={"price": 12.5},
    )


def test_a_context_that_is_no_mapping_is_no_data():
    event = Event("shop.order.placed", "u1", ctxt=object(), begin_time=NOON_MS / 1000)
    assert to_v2_event(event) == minimal(uuid="u1")


# --- in the pipeline -------------------------------------------------------------------------------------


@pytest.mark.parametrize("struct", [minimal(), User(id="u")])
def test_a_thrift_struct_is_returned_as_it_is(struct: Any):
    assert to_v2_event(struct) is struct


@pytest.mark.parametrize("event", [None, 5, "event", ["event"], object()])
def test_what_is_no_event_is_refused(event: Any):
    with pytest.raises(EventSerializationError, match=r"Tracker\.emit"):
        to_v2_event(event)


def test_the_event_it_is_given_stays_as_it_was():
    event = tracked(data={"a": [1]}, context={"user": {"roles": ["x"]}, "other": 1}, extra=1)
    before = copy.deepcopy(event)
    made = to_v2_event(event)
    made.user.roles.append("y")
    assert event == before


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).filter(lambda value: not any(word in repr(value) for word in ("nan", "inf")))
CONTEXT_KEYS = st.text(max_size=5) | st.sampled_from(
    ["user", "request", "device", "session", "experiments", "user_id", "path", "ip", "uuid", "app"]
)


@given(
    st.text(),
    st.dictionaries(st.text(min_size=1, max_size=5).filter(lambda key: "." not in key), VALUES, max_size=4),
    st.dictionaries(
        CONTEXT_KEYS,
        VALUES | st.dictionaries(st.sampled_from(["id", "name", "roles", "x"]), VALUES),
        max_size=4,
    ),
)
def test_nothing_is_lost_of_any_event_and_thrift_writes_it(
    name: str, data: dict[str, Any], context: dict[str, Any]
):
    made = to_v2_event(tracked(name, data=data, context=context))
    made.validate()
    assert serialize_v2_event(made) == by_thrift(made)
    kept = (made.properties or {}).keys() | (made.measurements or {}).keys()
    ids = {"uuid", "correlation_id", "noun_id"}
    assert {key for key, value in data.items() if value is not None} - ids <= kept
    for key, value in context.items():
        if isinstance(value, dict) or value is None or f"context.{key}" in kept:
            continue
        if key == "experiments":  # one that sets no field is there, and shows nothing
            assert len(made.experiments or []) == len(value)
        else:
            assert str(value) in repr(made) or repr(value) in repr(made)


def test_a_uuid_fits_where_an_id_stands():
    user = uuid.UUID(int=7)
    assert to_v2_event(tracked(context={"user_id": user})).user.id == str(user)
    assert to_v2_event(tracked(context={"user": {"id": user}})).user.id == str(user)
