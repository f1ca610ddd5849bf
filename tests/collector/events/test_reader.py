"""Bodies become rows, or a refusal that names the events at fault."""

from __future__ import annotations

import contextlib
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventpub import serialize_json_event, serialize_v2_event, wire
from eventpub.collector.events import EventReader, Limits, Schemas
from eventpub.collector.events.reader import MAX_REJECTED_SHOWN
from eventpub.collector.events.rows import MAX_COLUMN_CHARACTERS
from eventpub.collector.responses import RefusedError, Response
from eventpub.collector.store import EventRow
from eventpub.schemas.event.ttypes import Event, User

EVENT = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'
MAX_EVENTS = 1000
LIMIT_BYTES = 1000

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=8,
)


READER = EventReader(Schemas(), Limits(LIMIT_BYTES), MAX_EVENTS)


def rows(version: str, body: bytes, announced: str = "") -> list[EventRow]:
    return list(READER.read("key", version, body, announced).rows)


def refusal(version: str, body: bytes, announced: str = "", reader: EventReader = READER) -> Response:
    with pytest.raises(RefusedError) as raised:
        reader.read("key", version, body, announced)
    return raised.value.response


def reasons(version: str, body: bytes) -> dict[int, str]:
    answer = refusal(version, body)
    assert (answer.status, answer.fields["error"]) == (422, "invalid_events")
    return {rejected["index"]: rejected["reason"] for rejected in answer.fields["rejected"]}


# --- version 2 -------------------------------------------------------------------------------------------


def test_a_struct_is_stored_by_field_names_with_its_main_fields_in_columns():
    event = Event(
        source="shop",
        action="buy",
        noun="tea",
        client_timestamp=1_700_000_000_000,
        uuid="u-1",
        correlation_id="c-1",
        user=User(id="t2_1", is_logged_in=True),
        measurements={"price_eur": float("nan")},
    )
    (row,) = rows("2", wire.container("2", [serialize_v2_event(event)]))
    assert row[:-1] == ("shop", "buy", "tea", None, 1_700_000_000_000, "u-1", "c-1", "t2_1")
    assert json.loads(row.event) == {
        "source": "shop",
        "action": "buy",
        "noun": "tea",
        "client_timestamp": 1_700_000_000_000,
        "uuid": "u-1",
        "correlation_id": "c-1",
        "user": {"id": "t2_1", "is_logged_in": True},
        "measurements": {"price_eur": "NaN"},
    }


def test_control_characters_as_thrift_leaves_them_are_read():
    (row,) = rows("2", wire.container("2", [EVENT.replace(b"tea", b"te\x01a")]))
    assert row.noun == "te\x01a"


def test_what_is_wrong_with_an_event_is_said_by_its_index():
    bad = [b'{"1":{"str":5}}', b'{"1":{"str":"shop"}}', b"7", EVENT.replace(b"tea", b"\\ud800")]
    found = reasons("2", wire.container("2", [EVENT, *bad, EVENT]))
    assert set(found) == {1, 2, 3, 4}
    assert found[1] == "source: expected text, not 5"
    assert found[2] == "action: the required field is missing"
    assert found[3].startswith("Event: expected an object")
    assert found[4].startswith("noun: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"1":{"lst":["rec"]}}',
        b'{"1":{"lst":["rec",2,%s]}}' % EVENT,
        b'{"1":{"lst":["rec",1,%s' % EVENT,
        b'{"1":{"lst":["str",1,"x"]}}',
        b'{"1":{"lst":["rec",1,%s]},"2":{"i32":1}}' % EVENT,
        b'{"1":{"lst":["rec",99999999999999999999,%s]}}' % EVENT,
    ],
)
def test_what_is_no_container_of_structs_is_refused(body):
    assert (refusal("2", body).status, refusal("2", body).fields["error"]) == (400, "bad_body")


def test_blanks_in_a_container_change_nothing():
    assert len(rows("2", b' { "1" : {"lst": [ "rec" , 2 , %s , %s ] } }\n' % (EVENT, EVENT))) == 2


def test_a_container_may_be_empty():
    assert rows("2", b'{"1":{"lst":["rec",0]}}') == []
    assert rows("2j", b"[]") == []


@pytest.mark.parametrize(
    "smuggled",
    [
        b'%s]},"2":{"lst":["rec",0' % EVENT,
        b'%s,%s,%s]},"2":{"lst":["rec",0' % (EVENT, EVENT, EVENT),
        b'%s]},"1":{"lst":["rec",3,%s,%s' % (EVENT, EVENT, EVENT),
    ],
)
def test_no_event_can_close_the_container_over_its_neighbours(smuggled):
    """The last two would pass for three valid events, of which a neighbour is none."""
    body = wire.container("2", [EVENT, smuggled, EVENT])
    assert refusal("2", body, "3").status == 400


# --- version 2j ------------------------------------------------------------------------------------------


def test_an_object_is_stored_whole_with_its_main_fields_in_columns():
    event = {
        "source": "shop",
        "name": "buy",
        "client_timestamp": 1.5,
        "uuid": "u-1",
        "user": {"id": "t2_1"},
        "more": [1, None, "ü"],
    }
    (row,) = rows("2j", wire.container("2j", [serialize_json_event(event)]))
    assert row[:-1] == ("shop", None, None, "buy", 1.5, "u-1", None, "t2_1")
    assert json.loads(row.event) == event


def test_the_users_id_may_stand_beside_the_event_too():
    (row,) = rows("2j", b'[{"user_id":"t2_1"}]')
    assert row.user_id == "t2_1"


def test_main_fields_of_other_types_are_left_to_the_event():
    body = b'[{"source":1,"action":{},"noun":[],"client_timestamp":"now","user":3,"uuid":null}]'
    (row,) = rows("2j", body)
    assert row[:-1] == (None,) * 8


@pytest.mark.parametrize("timestamp", [2**63, -(2**63) - 1, 10**400])
def test_numbers_beyond_64_bits_are_left_to_the_event(timestamp):
    (row,) = rows("2j", b'[{"client_timestamp":%d}]' % timestamp)
    assert row.client_timestamp is None
    assert json.loads(row.event) == {"client_timestamp": timestamp}


def test_a_column_takes_the_start_of_a_long_field():
    (row,) = rows("2j", b'[{"source":"%s"}]' % (b"x" * 300))
    assert row.source == "x" * MAX_COLUMN_CHARACTERS
    assert json.loads(row.event) == {"source": "x" * 300}


def test_what_is_no_object_or_no_json_is_refused_by_its_index():
    body = b'[{},7,"text",null,[],{"a":NaN},{"a":1e999},{"a":"\\ud800"},{"\\udfff":1},{}]'
    found = reasons("2j", body)
    assert set(found) == {1, 2, 3, 4, 5, 6, 7, 8}
    assert found[1] == "event: expected an object, not 7"
    out_of_range = "cannot be written as JSON: Out of range float values are not JSON compliant"
    assert found[5].startswith(out_of_range)  # Python 3.13 names the value too
    assert found[7] == "a text holds half of a surrogate pair, which UTF-8 cannot write"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[{}", b"[{}]]", b"\xff", b'["\xed\xa0\x80"]', b"[{},]"]
)
def test_what_is_no_json_array_is_refused(body):
    assert (refusal("2j", body).status, refusal("2j", body).fields["error"]) == (400, "bad_body")


def test_utf_16_is_not_guessed():
    assert refusal("2j", "[{}]".encode("utf-16")).status == 400


@pytest.mark.parametrize("version", wire.VERSIONS)
@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 100_000])
def test_depth_has_an_end(version, deep):
    assert refusal(version, wire.container(version, [deep])).status == 400


@pytest.mark.parametrize("version", wire.VERSIONS)
def test_an_integer_of_more_digits_than_python_reads_is_refused(version):
    digits = b"9" * (sys.get_int_max_str_digits() + 1)
    assert refusal(version, wire.container(version, [b'{"a":%s}' % digits])).status == 400


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_every_json_object_is_stored_as_the_very_text_that_came(event, indent, ensure_ascii):
    text = json.dumps(event, indent=indent, ensure_ascii=ensure_ascii)
    reader = EventReader(Schemas(), Limits(2**30), 3)
    try:
        json.dumps(event, ensure_ascii=False).encode()
        body = f' [ {text} , {{"a":1}}\n, {text}]'.encode()
    except UnicodeEncodeError:
        with contextlib.suppress(UnicodeEncodeError):
            body = f"[{text}]".encode()
            assert refusal("2j", body, reader=reader).fields["error"] == "invalid_events"
    else:
        stored = reader.read("key", "2j", body, "3").rows
        assert [row.event for row in stored] == [text, '{"a":1}', text]


@pytest.mark.parametrize(
    "text",
    [
        '{"a":123456789012345678901234567890.123456789}',
        '{"a":1.10}',
        '{"a":1E5}',
        '{"a":-0}',
        '{"a":0.1e-400}',
        '{"b":1,"a":2,"b":3}',
        '{"\\u0061":"\\u00e9\\/"}',
        '{"a" : [ 1,\n 2 ]}',
    ],
)
def test_numbers_keys_and_escapes_are_stored_digit_for_digit(text):
    assert [row.event for row in rows("2j", f"[{text}]".encode())] == [text]


def test_of_two_keys_of_one_name_the_last_is_in_the_column_as_sqlite_has_it():
    (row,) = rows("2j", b'[{"source":"first","source":"last"}]')
    assert row.source == "last"


@pytest.mark.parametrize(
    ("version", "other"),
    [("2", "2j"), ("2j", "2")],
)
def test_a_body_of_the_other_version_is_refused_with_the_path_that_it_belongs_to(version, other):
    reason = refusal(version, wire.container(other, [EVENT])).fields["reason"]
    assert f"it looks like version {other}: POST it to /v{other}" in reason


# --- both ------------------------------------------------------------------------------------------------


def test_an_event_beyond_the_limit_is_refused_by_its_index():
    fits = json.dumps({"a": "x" * (LIMIT_BYTES - 8)}).replace(" ", "").encode()
    assert len(fits) == LIMIT_BYTES
    assert len(rows("2j", wire.container("2j", [fits]))) == 1
    found = reasons("2j", wire.container("2j", [b"{}", fits.replace(b"x", b"xx", 1)]))
    assert found == {1: "takes 1,001 bytes, more than 1,000"}
    long = EVENT.replace(b"tea", b"x" * LIMIT_BYTES)
    assert "more than 1,000" in reasons("2", wire.container("2", [long]))[0]


def test_of_many_refused_events_the_first_are_shown_and_all_are_counted():
    answer = refusal("2j", wire.container("2j", [b"7"] * 250 + [b"{}"]))
    assert len(answer.fields["rejected"]) == MAX_REJECTED_SHOWN
    assert answer.fields["rejected_count"] == 250
    assert str(answer.fields["reason"]).startswith("250 of 251 events are not valid")


@pytest.mark.parametrize("announced", ["1", "3", "02", "two", "-2", "9" * 5000])
def test_a_count_that_differs_refuses_the_batch_without_blaming_an_event(announced):
    for version, event in (("2", EVENT), ("2j", b"{}")):
        assert len(rows(version, wire.container(version, [event, event]), "2")) == 2
        answer = refusal(version, wire.container(version, [event, event]), announced)
        assert (answer.status, answer.fields["error"]) == (422, "event_count_differs")
        assert "rejected" not in answer.fields
        assert len(answer.body()) < 1000


@pytest.mark.parametrize("version", ["2", "2j"])
def test_more_events_than_the_limit_are_refused_as_too_many_whatever_they_are(version):
    answer = refusal(version, wire.container(version, [b"7"] * (MAX_EVENTS + 1)))
    assert (answer.status, answer.fields["error"]) == (413, "too_many_events")
    assert answer.fields["limit_events"] == MAX_EVENTS
    assert refusal(version, wire.container(version, [b"7"] * MAX_EVENTS)).status == 422
