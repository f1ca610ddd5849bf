"""The words of a schema, and the names and values of what was refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import struct_class

from eventpub.collector.page.refused import find_field, show_event, split_body
from eventpub.collector.page.words import describe_class
from eventpub.schemas.event.ttypes import Event

I32, TEXT = 8, 11


def test_fields_have_the_words_of_the_schema_at_every_depth() -> None:
    words = describe_class(Event)
    event, user = words["structs"][words["root"]], words["structs"]["User"]
    assert event["doc"].startswith("Somebody did something")
    assert event["fields"]["user"] | {"doc": ""} == {
        "id": 20,
        "type": "User",
        "struct": "User",
        "required": False,
        "doc": "",
    }
    assert user["fields"]["roles"]["type"] == "list<string>"
    assert user["fields"]["id"]["doc"].startswith("Stable id of the account")
    assert json.loads(json.dumps(words)) == words


def test_a_class_without_words_is_told_by_names_and_types() -> None:
    words = describe_class(struct_class((1, I32, "number", None, None), name="Bare"))
    assert words["structs"]["Bare"]["fields"]["number"] == {
        "id": 1,
        "type": "i32",
        "struct": None,
        "required": False,
        "doc": "",
    }


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("user.id: expected text, not 17", "user.id"),
        ("user.roles[0]: expected text", "user.roles[0]"),
        ("experiments['a: b'].x: expected text", "experiments['a: b'].x"),
        ("event: expected an object, not 17", None),
        ("takes 300 bytes, more than 100", None),
    ],
)
def test_the_field_of_a_reason_is_found(reason: str, field: str | None) -> None:
    assert find_field(reason) == field


def test_a_refused_struct_is_shown_by_the_names_of_its_fields_as_far_as_they_are_known() -> None:
    raw = (
        '{"1":{"str":"shop"},"2":{"i32":17},"20":{"rec":{"1":{"str":"u"},"5":{"lst":["str",1,"a"]}}},'
        '"999":{"str":"new"},"21":7}'
    )
    assert json.loads(show_event(raw, Event)) == {
        "source": "shop",
        "action": 17,
        "user": {"id": "u", "roles": ["a"]},
        "999": {"str": "new"},
        "request": 7,
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["1", "20", "rec", "lst", "map", "str"]) | st.text(), inner, max_size=4
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_was_refused_is_shown_as_json_or_not_at_all(document: object) -> None:
    json.loads(show_event(json.dumps(document), Event))


@given(st.binary(max_size=60), st.sampled_from(["2", "2j"]))
def test_a_body_that_cannot_be_split_is_left_whole(body: bytes, version: str) -> None:
    assert all(isinstance(text, str) for text in split_body(version, body))
