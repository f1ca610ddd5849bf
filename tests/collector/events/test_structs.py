"""Structs of any class are stored by field names, alike whichever decoder read them, and nothing is dropped."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import ZOO, bounded, compiled, holder, structs
from thrift.Thrift import TType

from eventpub import serialize_v2_event
from eventpub.collector.events.form import Limits
from eventpub.collector.events.naming import name_unknown
from eventpub.collector.events.rows import UnwritableError, make_row, write_json
from eventpub.collector.events.structs import StructForm, _find_unknown
from eventpub.collector.store import EventRow
from eventpub.schemas.event.ttypes import Event, Experiment, Geo, Request, User
from eventpub.serialization.errors import DecodeError
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_plain import UnknownFields, to_plain
from eventpub.serialization.thrift_spec import read_declared

LIMITS = Limits(100_000)


def explained(cls: type, text: bytes) -> EventRow | str:
    """What the explaining decoder alone makes of an event."""
    unknown = UnknownFields()
    try:
        plain = to_plain(decode_struct(cls, load_json(text), unknown), unknown)
        return make_row(plain, write_json(plain), LIMITS.max_event_bytes)
    except (DecodeError, UnwritableError) as error:
        return str(error)


def read(form: StructForm, *texts: bytes, limits: Limits = LIMITS) -> tuple[list[EventRow | str], Counter[str]]:
    unknown: Counter[str] = Counter()
    reading = form.read(b"[%s]" % b",".join(texts), limits, unknown)
    events = list(reading.events)
    assert reading.number == len(events) == len(texts)
    return events, unknown


def has_sets(cls: Any) -> bool:
    """A set has no order of its own, so two readings of it may differ."""
    return '"set"' in str([repr(field.type).replace("'", '"') for field in read_declared(cls)])


# --- both decoders agree ---------------------------------------------------------------------------------


@bounded
@given(structs(leaf_keys=True), st.randoms(use_true_random=False))
def test_a_struct_of_any_class_is_stored_alike_by_both_decoders(struct: Any, randomness: random.Random) -> None:
    cls = type(struct)
    if not read_declared(cls) or "'set'" in repr(cls.thrift_spec) or has_sets(cls):
        return
    text = serialize_v2_event(struct)
    form = StructForm(cls)
    assert read(form, text, text)[0] == [explained(cls, text)] * 2
    broken = bytearray(text)
    broken[randomness.randrange(len(broken))] = randomness.choice(b'{}[]":,0129ae-.\\ntf')
    try:
        load_json(bytes(broken))
    except ValueError:
        return
    assert read(form, bytes(broken))[0] == [explained(cls, bytes(broken))]


TEXT = st.text(max_size=10) | st.sampled_from(
    ["\x00", "\x1f", "\x7f", "é", "\U0001f600", '"\\/', "\u2028", "x" * 300]
)
EVENTS = st.builds(
    Event,
    source=TEXT,
    action=TEXT,
    noun=TEXT,
    client_timestamp=st.none() | st.integers(-(2**63), 2**63 - 1),
    uuid=st.none() | TEXT,
    correlation_id=st.none() | TEXT,
    user=st.none()
    | st.builds(
        User,
        id=st.none() | TEXT,
        is_logged_in=st.none() | st.booleans(),
        roles=st.none() | st.lists(TEXT, max_size=3),
    ),
    request=st.none() | st.builds(Request, duration_ms=st.none() | st.floats()),
    geo=st.none() | st.builds(Geo, latitude=st.none() | st.floats(allow_nan=False)),
    experiments=st.none() | st.lists(st.builds(Experiment, name=TEXT), max_size=3),
    properties=st.none() | st.dictionaries(TEXT, TEXT, max_size=3),
    measurements=st.none() | st.dictionaries(TEXT, st.floats(), max_size=3),
)
FORM = StructForm(Event)


@given(st.lists(EVENTS, max_size=4))
def test_events_are_stored_alike_by_both_decoders(events: list[Event]) -> None:
    texts = [serialize_v2_event(event) for event in events]
    assert read(FORM, *texts)[0] == [explained(Event, text) for text in texts]


ODD = [
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"4":{"i64":1.9}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"4":{"i64":true}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"1":{"str":"last"}}',
    b'{"1":{"str":"a","str":"last"},"2":{"str":"b"},"3":{"str":"c"}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"20":{"rec":{"2":{"tf":true}}}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"51":{"map":["str","dbl",2,{"a":1,"b":1e22}]}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"51":{"map":["str","dbl",1,{"a":nan}]}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"51":{"map":["str","dbl",1,{"a":"Infinity"}]}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"51":{"map":["str","dbl",true,{"a":1}]}}',
    b'{"1":{"str":"a\x01"},"2":{"str":"b"},"3":{"str":"c"}}',
    b'{"1":{"str":"\\ud800"},"2":{"str":"b"},"3":{"str":"c"}}',
    b'{"1":{"str":"a"},"2":{"str":"b"}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"20":{"rec":{"5":{"lst":["str",true,"a"]}}}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"20":{"rec":{"5":{"lst":["str",1.0,"a"]}}}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"20":{"rec":{"5":{"lst":[]}}}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"27":{"lst":["rec",2,{"1":{"str":"x"}},5]}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"4":{"i64":null}}',
    b'{"1":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"},"4":null}',
    b'{"01":{"str":"a"},"2":{"str":"b"},"3":{"str":"c"}}',
    b"5",
    b"null",
    b"[]",
    b"{}",
]


@pytest.mark.parametrize("text", ODD)
def test_what_is_not_common_is_read_as_before_and_so_are_its_neighbours(text: bytes) -> None:
    good = b'{"1":{"str":"s"},"2":{"str":"a"},"3":{"str":"n"}}'
    expected = [explained(Event, good), explained(Event, text), explained(Event, good)]
    assert read(FORM, good, text, good)[0] == expected


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1e-4, 9.9e-5, 9999999999999998.0, 1e16, -1e16, 1e22, 5e-324, 1e-5, 3]
)
def test_doubles_are_written_as_python_writes_them(value: float) -> None:
    form = StructForm(holder(TType.DOUBLE))
    (row,), _ = read(form, b'{"1":{"dbl":%s}}' % json.dumps(value).encode())
    assert isinstance(row, EventRow)
    assert row.event == f'{{"value":{json.dumps(float(value))}}}'


def test_a_default_that_is_written_differently_is_written_as_before(tmp_path: Path) -> None:
    made = compiled("struct Made { 1: double big = 1e22, 2: i32 n }", "py:slots", tmp_path)
    (row,), _ = read(StructForm(made.Made), b'{"2":{"i32":1}}')
    assert isinstance(row, EventRow)
    assert row.event == '{"big":1e+22,"n":1}'


# --- structs of the user's own ---------------------------------------------------------------------------


OWN = """
enum Size { SMALL = 1, LARGE = 2 }
union Payment { 1: string card, 2: i64 cash }
exception Refusal { 1: string message, 2: i32 code }
struct Line { 1: required string article, 2: optional double price }
struct Person { 4: optional string id }
struct Order {
  -1: optional string note,
  10: required string source, 11: string action = "order", 12: string noun,
  13: optional Payment payment, 14: optional Refusal refusal, 15: optional list<list<i32>> grid,
  16: optional map<i32, string> names, 17: optional map<bool, Line> flags, 18: optional set<string> tags,
  19: optional binary raw, 20: optional Size size, 21: optional list<Line> lines,
  22: optional Person user, 23: optional i64 client_timestamp, 24: optional Order replaces,
  25: optional map<string, Line> by_name
}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compiled(OWN, "py:slots", tmp_path_factory.mktemp("shop"))


def order(shop: Any) -> Any:
    return shop.Order(
        note="n",
        source="shop",
        noun="tea",
        payment=shop.Payment(cash=5),
        refusal=shop.Refusal(message="m", code=3),
        grid=[[1, 2], []],
        names={1: "one", -2: "two"},
        flags={True: shop.Line(article="a", price=4.5)},
        tags={"x"},
        raw=b"\xff\x00",
        size=2,
        lines=[shop.Line(article="a"), shop.Line(article="b", price=1e30)],
        user=shop.Person(id="u-1"),
        client_timestamp=1_700_000_000_000,
        replaces=shop.Order(source="shop", noun="coffee", replaces=shop.Order(source="s", noun="n")),
        by_name={"k": shop.Line(article="c")},
    )


def test_structs_of_the_users_own_are_stored_by_field_names_with_the_usual_columns_filled(shop: Any) -> None:
    text = serialize_v2_event(order(shop))
    (row,), unknown = read(StructForm(shop.Order), text)
    assert isinstance(row, EventRow)
    assert not unknown
    assert json.loads(row.event) == {
        "note": "n",
        "source": "shop",
        "action": "order",
        "noun": "tea",
        "payment": {"cash": 5},
        "refusal": {"message": "m", "code": 3},
        "grid": [[1, 2], []],
        "names": {"1": "one", "-2": "two"},
        "flags": {"true": {"article": "a", "price": 4.5}},
        "tags": ["x"],
        "raw": "/wA=",
        "size": 2,
        "lines": [{"article": "a"}, {"article": "b", "price": 1e30}],
        "user": {"id": "u-1"},
        "client_timestamp": 1_700_000_000_000,
        "replaces": {
            "source": "shop",
            "action": "order",
            "noun": "coffee",
            "replaces": {"source": "s", "action": "order", "noun": "n"},
        },
        "by_name": {"k": {"article": "c"}},
    }
    assert row[:-1] == ("shop", "order", "tea", None, 1_700_000_000_000, None, None, "u-1")
    assert row == explained(shop.Order, text)


@pytest.mark.parametrize("options", ["py", "py:slots", "py:enum", "py:dynamic"])
def test_classes_of_every_flavour_are_read_alike(options: str, tmp_path: Path) -> None:
    zoo = compiled(ZOO, options, tmp_path)
    fields = b'"7":{"i32":5},"3":{"i64":9},"300":{"str":"YQ"},"2":{"tf":1},"5":{"dbl":0.5}'
    text = b'{%s,"12":{"lst":["i32",1,1]}}' % fields
    (row,), _ = read(StructForm(zoo.Mixed), text)
    assert isinstance(row, EventRow)
    plain = json.loads(row.event)
    assert (plain["colour"], plain["number"], plain["raw"], plain["flag"]) == (5, 9, "YQ==", True)
    assert (plain["score"], plain["colours"]) == (0.5, [1])


def test_a_user_may_be_a_map_or_an_id_beside_it_or_of_another_type(tmp_path: Path) -> None:
    source = """
    struct Mapped { 1: map<string, string> user, 2: string user_id }
    struct Beside { 1: string user_id, 2: i64 source, 3: string client_timestamp }
    struct Numbered { 1: i64 user, 2: string user_id }
    """
    made = compiled(source, "py:slots", tmp_path)
    for struct, user_id in (
        (made.Mapped(user={"id": "m"}, user_id="b"), "m"),
        (made.Mapped(user_id="b"), "b"),
        (made.Beside(user_id="b", source=5, client_timestamp="now"), "b"),
        (made.Numbered(user=5, user_id="b"), "b"),
    ):
        text = serialize_v2_event(struct)
        (row,), _ = read(StructForm(type(struct)), text)
        assert isinstance(row, EventRow)
        assert (row.user_id, row.source, row.client_timestamp) == (user_id, None, None)
        assert row == explained(type(struct), text)


# --- no field is dropped ---------------------------------------------------------------------------------


NEWER = b"""{"1":{"str":"s"},"2":{"str":"a"},"3":{"str":"n"},"201":{"str":"new"},
"20":{"rec":{"1":{"str":"u"},"900":{"lst":["i32",1,5]}}},"27":{"lst":["rec",1,{"1":{"str":"x"},"77":{"dbl":nan}}]}}"""


def test_fields_of_unknown_ids_are_stored_at_every_depth_and_counted() -> None:
    (row,), unknown = read(FORM, NEWER)
    assert isinstance(row, EventRow)
    assert json.loads(row.event) == {
        "source": "s",
        "action": "a",
        "noun": "n",
        "user": {"id": "u", "unknown_fields": {"900": {"lst": ["i32", 1, 5]}}},
        "experiments": [{"name": "x", "unknown_fields": {"77": {"dbl": "NaN"}}}],
        "unknown_fields": {"201": {"str": "new"}},
    }
    assert unknown == {"201": 1, "900": 1, "77": 1}


@pytest.mark.parametrize(
    ("field", "path"),
    [
        (b'"201":{"str":"new"}', "201"),
        (b'"20":{"rec":{"900":{"str":"new"}}}', "user.900"),
        (b'"27":{"lst":["rec",2,{"1":{"str":"x"}},{"1":{"str":"y"},"77":{"i32":1}}]}', "experiments[1].77"),
    ],
)
def test_where_the_schema_is_strict_an_unknown_field_is_refused_by_its_path(field: bytes, path: str) -> None:
    text = b'{"1":{"str":"s"},"2":{"str":"a"},"3":{"str":"n"},%s}' % field
    (reason,), unknown = read(FORM, text, limits=LIMITS._replace(is_strict=True))
    assert reason == f"{path}: the schema has no such field, and schema.strict = yes"
    assert not unknown


def test_a_schema_may_have_a_field_of_the_name_that_unknown_ones_stand_under(tmp_path: Path) -> None:
    made = compiled("struct Made { 1: string unknown_fields }", "py:slots", tmp_path)
    (row,), _ = read(StructForm(made.Made), b'{"1":{"str":"mine"},"2":{"i32":5}}')
    assert isinstance(row, EventRow)
    assert json.loads(row.event) == {"unknown_fields": "mine", "unknown_fields_": {"2": {"i32": 5}}}


def test_a_newer_class_names_what_its_collector_did_not_know(tmp_path: Path) -> None:
    source = """
    struct Leaf { 1: required string name, NEWER_LEAF }
    struct Made { 1: required string noun, 2: list<Leaf> leaves, 3: map<string, Leaf> by_name, NEWER }
    """
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    old = compiled(source.replace("NEWER_LEAF", "").replace(", NEWER", ""), "py:slots", tmp_path / "old")
    fields = "4: map<i32, Leaf> more, 5: i64 size, -9: binary raw"
    new = compiled(
        source.replace("NEWER_LEAF", "2: double weight").replace("NEWER", fields), "py:slots", tmp_path / "new"
    )
    event = new.Made(
        noun="tea",
        leaves=[new.Leaf(name="a", weight=1.5), new.Leaf(name="b")],
        by_name={"c": new.Leaf(name="c", weight=2.5)},
        more={7: new.Leaf(name="d", weight=3.5)},
        size=5,
        raw=b"\xff",
    )
    text = serialize_v2_event(event)
    (row,), unknown = read(StructForm(old.Made), text)
    assert isinstance(row, EventRow)
    assert unknown.total() == 5
    (expected,), _ = read(StructForm(new.Made), text)
    assert isinstance(expected, EventRow)
    assert name_unknown(new.Made, json.loads(row.event)) == json.loads(expected.event)
    assert name_unknown(old.Made, json.loads(row.event)) == json.loads(row.event)


def test_what_a_newer_class_has_with_another_type_stays_unknown(tmp_path: Path) -> None:
    made = compiled("struct Made { 1: string noun, 2: i32 size }", "py:slots", tmp_path)
    plain = {"noun": "tea", "unknown_fields": {"2": {"str": "large"}, "3": {"i32": 5}, "4": None}}
    assert name_unknown(made.Made, plain) == plain
    assert name_unknown(made.Made, {"unknown_fields": {"2": {"i32": 2**40}}}) == {
        "unknown_fields": {"2": {"i32": 2**40}}
    }


@pytest.mark.parametrize("own", ["mine", ["mine"], None])
def test_the_path_is_found_beside_a_field_that_is_called_unknown_fields_itself(own: object) -> None:
    plain = {"unknown_fields": own, "kids": [{"unknown_fields_": {"99": {"i32": 1}}}]}
    assert list(_find_unknown(plain)) == ["kids[0].99"]


def test_a_class_with_a_field_of_that_name_is_named_too(tmp_path: Path) -> None:
    made = compiled("struct Made { 1: string unknown_fields, 2: i32 size }", "py:slots", tmp_path)
    plain = {"unknown_fields": "mine", "unknown_fields_": {"2": {"i32": 5}}}
    assert name_unknown(made.Made, plain) == {"unknown_fields": "mine", "size": 5}
