"""Thrift JSON by field names, and back."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import bounded, by_thrift, struct_class, structs
from thrift.Thrift import TType

from eventpub.schemas.event.ttypes import Event, User
from eventpub.serialization.errors import DecodeError, StructClassError
from eventpub.serialization.serialize import serialize_v2_event
from eventpub.serialization.struct_class import DEFAULT_SCHEMA, load_struct_class
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_names import is_by_ids, name_fields, number_fields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["1", "2", "lst", "rec", "str", "i64", "map", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)
INNER = struct_class((1, TType.STRING, "text", "UTF8"))
OUTER = struct_class(
    (1, TType.STRING, "name", "UTF8"),
    (2, TType.I64, "number"),
    (3, TType.STRUCT, "inner", [INNER, INNER.thrift_spec]),
    (4, TType.LIST, "inners", (TType.STRUCT, [INNER, INNER.thrift_spec], False)),
    (5, TType.MAP, "weights", (TType.STRING, "UTF8", TType.DOUBLE, None, False)),
    (6, TType.BOOL, "flag"),
)


@given(structs(leaf_keys=True))
@bounded
def test_any_struct_is_the_same_after_it_was_named_and_numbered(struct: Any):
    document = load_json(by_thrift(struct))
    shown = json.loads(json.dumps(name_fields(type(struct), document), allow_nan=False))
    numbered = number_fields(type(struct), shown)
    assert decode_struct(type(struct), numbered) == decode_struct(type(struct), document)


@given(JSON)
@bounded
def test_whatever_was_refused_can_be_shown_and_comes_back_or_is_explained(document: Any):
    shown = name_fields(OUTER, document)
    json.dumps(shown)
    with contextlib.suppress(DecodeError):
        number_fields(OUTER, shown)


def test_an_event_is_shown_by_names_with_unknown_fields_and_wrong_values_as_they_came():
    event = Event(source="web", action="buy", noun="tea", client_timestamp=1, uuid="u", user=User(id="u1"))
    document: Any = load_json(serialize_v2_event(event)) | {"201": {"str": "new"}}
    named = name_fields(Event, document)
    assert (
        named.items()
        >= {"source": "web", "user": {"id": "u1"}, "unknown_fields": {"201": {"str": "new"}}}.items()
    )
    assert number_fields(Event, named) == document
    wrong = {
        "1": {"i64": 5},
        "2": {"i64": "5"},
        "3": {"rec": 7},
        "4": {"lst": ["rec", 2, {}]},
        "5": {"map": ["str", "dbl", 1, {"a": float("nan")}]},
        "6": {"tf": 1},
    }
    assert name_fields(OUTER, wrong) == {
        "name": {"i64": 5},
        "number": "5",
        "inner": {"rec": 7},
        "inners": {"lst": ["rec", 2, {}]},
        "weights": {"a": "NaN"},
        "flag": True,
    }


@pytest.mark.parametrize(
    ("plain", "path", "reason"),
    [
        ({"nmae": 1}, "nmae", "is not a field; the fields are flag, inner"),
        ({"inner": {"x": 1}}, "inner.x", "is not a field; the fields are text"),
        ({"inners": [{}, 5]}, "inners[1]", "expected an object, not 5"),
        ([], "Made", "expected an object"),
        ({"unknown_fields": 1}, "unknown_fields", "expected"),
    ],
)
def test_names_that_mean_nothing_are_refused_with_their_place(plain: Any, path: str, reason: str):
    with pytest.raises(DecodeError) as raised:
        number_fields(OUTER, plain)
    assert (raised.value.path, reason in raised.value.reason) == (path, True)


def test_structs_are_told_from_other_objects():
    assert is_by_ids({"1": {"str": ""}, "-2": {"rec": {}}})
    for document in (
        {},
        {"a": {"str": ""}},
        {"1": "a"},
        {"1": {"text": ""}},
        {"1": {"str": 1, "i64": 1}},
        [],
        None,
    ):
        assert not is_by_ids(document)


@pytest.mark.parametrize("name", ["Event", "no.module:Event", "json:loads", "json:JSONDecoder", ":"])
def test_what_names_no_struct_class_is_refused(name: str):
    with pytest.raises(StructClassError):
        load_struct_class(name)
    assert load_struct_class(DEFAULT_SCHEMA) is Event
