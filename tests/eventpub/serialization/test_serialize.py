"""Events to the bytes of a message: `eventpub/serialization/serialize.py`."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
import math
import types
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import bounded, by_thrift

import eventpub
from eventpub.errors import EventSerializationError
from eventpub.schemas.event.ttypes import Event
from eventpub.serialization.serialize import serialize_event, serialize_json_event, serialize_v2_event
from eventpub.serialization.unwritable import strict_values

STRUCT = Event(source="s", action="a", noun="n")


class Plain(enum.Enum):
    TEA = "tea"


class Text(str, enum.Enum):
    TEA = "tea"


class Number(enum.IntEnum):
    TEA = 3


def refused(event: Any) -> EventSerializationError:
    with strict_values(), pytest.raises(EventSerializationError) as caught:
        serialize_json_event(event)
    return caught.value


# --- which serializer takes what -------------------------------------------------------------------------


def test_a_struct_becomes_a_version_2_event_and_a_mapping_json() -> None:
    assert serialize_event(STRUCT) == serialize_v2_event(STRUCT) == by_thrift(STRUCT)
    for mapping in ({"a": 1}, collections.OrderedDict(a=1), types.MappingProxyType({"a": 1})):
        assert serialize_event(mapping) == serialize_json_event(mapping) == b'{"a":1}'


@pytest.mark.parametrize(
    "event", [None, 5, "event", b"event", ["event"], Event, object(), {1, 2}, Decimal("NaN")]
)
def test_what_is_neither_is_refused_and_told_what_to_pass(event: Any) -> None:
    for serialize in (serialize_event, serialize_v2_event, serialize_json_event):
        with pytest.raises(EventSerializationError) as caught:
            serialize(event)
        assert caught.value.field == "event"
        assert "generated class" in caught.value.reason


def test_a_struct_given_to_serialize_json_event_is_told_which_serializer_takes_it() -> None:
    with pytest.raises(EventSerializationError, match="a Thrift struct; give it to serialize_v2_event"):
        serialize_json_event(STRUCT)


def test_a_mapping_given_to_serialize_v2_event_is_told_which_serializer_takes_it() -> None:
    with pytest.raises(EventSerializationError, match="serialize_json_event"):
        serialize_v2_event({"source": "s"})


def test_a_struct_within_a_mapping_is_an_object_of_its_fields() -> None:
    assert serialize_json_event({"event": STRUCT}) == b'{"event":{"source":"s","action":"a","noun":"n"}}'


def test_both_serializers_are_importable_from_the_package() -> None:
    assert eventpub.serialize_v2_event is serialize_v2_event
    assert eventpub.serialize_json_event is serialize_json_event


# --- plain JSON ------------------------------------------------------------------------------------------


@bounded
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=10,
        ),
        max_size=5,
    )
)
def test_any_plain_dict_comes_back_as_it_was(event: dict[str, Any]) -> None:
    serialized = serialize_json_event(event)
    assert json.loads(serialized) == event
    assert list(json.loads(serialized)) == list(event)


def test_json_is_compact_utf8_in_the_order_of_its_keys() -> None:
    event = {"z": [1, 2.5, None, True], "a": {"é": "\u2028\U0001f600"}, "m": ""}
    assert serialize_json_event(event) == '{"z":[1,2.5,null,true],"a":{"é":"\u2028\U0001f600"},"m":""}'.encode()


def test_control_characters_are_escaped() -> None:
    assert serialize_json_event({"a": "\x00\n"}) == b'{"a":"\\u0000\\n"}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=dt.timezone.utc), '"2024-02-29T12:30:01.000005+00:00"'),
        (dt.datetime(2024, 2, 29, 12, 30), '"2024-02-29T12:30:00"'),  # noqa: DTZ001, such are taken too
        (dt.date(2024, 2, 29), '"2024-02-29"'),
        (uuid.UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (Decimal("12.50"), '"12.50"'),
        (b"\xff\x00", '"/wA="'),
        (bytearray(b"a"), '"YQ=="'),
        (memoryview(b"a"), '"YQ=="'),
        (Plain.TEA, '"tea"'),
        (Text.TEA, '"tea"'),
        (Number.TEA, "3"),
        ({7}, "[7]"),
        (frozenset(["a"]), '["a"]'),
        ((1, "b"), '[1,"b"]'),
        (types.MappingProxyType({"a": {b"b"}}), '{"a":["Yg=="]}'),
        (collections.ChainMap({"a": 1}, {"a": 2}), '{"a":1}'),
    ],
)
def test_a_value_json_does_not_have_is_written_as_its_substitute(value: Any, text: str) -> None:
    assert serialize_json_event({"value": value}).decode() == f'{{"value":{text}}}'
    assert serialize_json_event({"values": [value]}).decode() == f'{{"values":[{text}]}}'


@pytest.mark.parametrize(
    ("event", "field", "value", "reason"),
    [
        ({"score": math.nan}, "score", "float", "neither NaN"),
        ({"a": {"b": [1, math.inf]}}, "a.b[1]", "float", "neither NaN"),
        ({"a": (0, {"b": -math.inf})}, "a[1].b", "float", "neither NaN"),
        ({"a": Decimal("NaN")}, "a", "Decimal", "neither NaN nor infinities"),
        ({"a": [object()]}, "a[0]", "object", "no form"),
        ({"a": {"b": complex(1)}}, "a.b", "complex", "no form"),
        ({"a": {object}}, "a[0]", "type", "no form"),
        ({"a": types.MappingProxyType({"b": math.nan})}, "a.b", "float", "JSON"),
        ({"a": "\ud800"}, "a", "str", "lone surrogates"),
        ({"a": {"\udfff": 1}}, "a key of a", "str", "lone surrogates"),
        ({(1, 2): 1}, "a key of event", "tuple", "cannot be a key"),
        ({"a": {math.nan: 1}}, "a key of a", "float", "cannot be a key"),
        ({5: {None: math.nan}}, "[key of type int].None", "float", "JSON"),
        ({"a": Plain}, "a", "EnumType", "no form"),
        ({"a": 10**5000}, "a", "int", "more digits"),
    ],
)
def test_a_value_that_cannot_be_written_is_named_by_its_path(
    event: dict[Any, Any], field: str, value: str, reason: str
) -> None:
    error = refused(event)
    assert error.field == field
    assert error.value in (f"of type {value}", "of type EnumMeta")
    assert reason in error.reason


def test_a_mapping_that_holds_itself_is_refused() -> None:
    held: dict[str, Any] = {}
    held["self"] = types.MappingProxyType(held)
    for event in (held, held["self"]):
        assert "holds itself" in refused(event).reason


def test_a_value_that_is_wrong_only_once_costs_nothing() -> None:
    class OnlyOnceWrong(dict[str, int]):
        calls = 0

        def items(self) -> Any:
            self.calls += 1
            return [(object(), 1)] if self.calls == 1 else []

    assert serialize_json_event({"a": OnlyOnceWrong(b=1)}) == b'{"a":{}}'
