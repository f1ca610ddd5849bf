"""Thrift JSON to structs and plain values: `eventpub/serialization/thrift_json_decode.py`."""

from __future__ import annotations

import contextlib
import enum
import json
import math
import pickle
import time
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import ZOO, bounded, by_thrift, compiled, holder, struct_class, structs
from thrift.Thrift import TFrozenDict, TType

from eventpub.errors import EventPubError
from eventpub.schemas.event.ttypes import App, Event, Experiment, Geo, User
from eventpub.serialization.errors import DecodeError
from eventpub.serialization.thrift_json import serialize_v2_event as encode
from eventpub.serialization.thrift_json_decode import MAX_DEPTH, decode_struct, load_json
from eventpub.serialization.thrift_plain import UnknownFields, to_plain

POINT = struct_class(None, (1, TType.I32, "x"), (2, TType.I32, "y"), name="Point")
EVENT = {"1": {"str": "s"}, "2": {"str": "a"}, "3": {"str": "n"}}


def refused(cls: Any, document: object) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode_struct(cls, document)
    return caught.value


def event(**fields: Any) -> dict[str, Any]:
    """A document of an Event with further fields, named by id: `_4` is field 4."""
    return {**EVENT, **{name[1:]: value for name, value in fields.items()}}


# --- there and back --------------------------------------------------------------------------------------


@bounded
@given(structs(leaf_keys=True))
def test_any_struct_comes_back_as_it_was(struct: Any) -> None:
    assert decode_struct(type(struct), load_json(encode(struct))) == struct


@bounded
@given(structs(leaf_keys=True))
def test_what_thrift_wrote_is_read(struct: Any) -> None:
    assert decode_struct(type(struct), load_json(by_thrift(struct))) == struct


@bounded
@given(structs(leaf_keys=True))
def test_any_struct_becomes_plain_json_by_field_names(struct: Any) -> None:
    plain = to_plain(struct)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {name for name in dir(struct) if name[0] == "f" and getattr(struct, name) is not None}


@bounded
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["1", "4", "20", "27", "50", "str", "rec", "lst", "x"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_other_document_is_refused_and_breaks_nothing(document: object) -> None:
    with contextlib.suppress(DecodeError):
        assert isinstance(decode_struct(Event, document), Event)


@pytest.mark.parametrize("options", ["py", "py:slots", "py:dynamic,slots", "py:enum"])
def test_classes_of_the_compiler_come_back_as_they_were(options: str, tmp_path: Any) -> None:
    zoo = compiled(ZOO, options, tmp_path)
    tree = zoo.Tree(
        name="a", kids=[zoo.Tree(name="b", named={"x": zoo.Tree(name="c")})], left=zoo.Tree(name="d")
    )
    colour = "GREEN" if options == "py:enum" else zoo.Colour.GREEN
    for struct in (
        tree,
        zoo.Mixed(colour=colour, raw=b"\xff", flag=True, score=0.1, groups={"a"}),
        zoo.Mixed(number=1, numbers=[]),
        zoo.Either(text="t"),
        zoo.Either(tree=tree),
        zoo.Failed(message="m", code=2),
        zoo.Empty(),
        zoo.Holder(empty=zoo.Empty()),
    ):
        assert decode_struct(type(struct), load_json(encode(struct))) == struct


@pytest.mark.parametrize("options", ["py", "py:slots"])
def test_negative_ids_come_back_as_they_were(options: str, tmp_path: Any) -> None:
    zoo = compiled(ZOO, options, tmp_path)
    struct = zoo.Holder(negative=zoo.Negative(a="x", b=1, trees=[zoo.Tree(name="t")]))
    assert decode_struct(zoo.Holder, load_json(encode(struct))) == struct
    assert to_plain(struct) == {"negative": {"a": "x", "b": 1, "trees": [{"name": "t"}]}}


def test_mistakes_in_a_class_with_negative_ids_are_refused_by_path(tmp_path: Any) -> None:
    zoo = compiled(ZOO, "py:slots", tmp_path)
    assert refused(zoo.Negative, {"-1": {"str": "x"}}).path == "b"
    assert refused(zoo.Negative, {"-1": {"what": "x"}}).path == "a"
    assert refused(zoo.Holder, {"1": {"rec": {"2": {"i32": "x"}}}}).path == "negative.b"
    assert refused(zoo.Holder, {"1": {"rec": {"2": 5}}}).path == "negative.b"
    assert to_plain(zoo.Empty()) == {}


def test_containers_within_sets_are_read_as_what_can_be_in_a_set() -> None:
    numbers = (TType.I32, None, False)  # not even marked as immutable: compilers differ
    for kind, arguments, value in (
        (TType.LIST, numbers, (1, 2)),
        (TType.LIST, (TType.SET, numbers, False), (frozenset([1]),)),
        (TType.SET, numbers, frozenset([1])),
        (TType.MAP, (TType.I32, None, TType.LIST, numbers, False), TFrozenDict({1: (2,)})),
    ):
        cls = holder(TType.SET, (kind, arguments, False))
        (element,) = decode_struct(cls, load_json(encode(cls(value={value})))).value
        assert element == value
        assert type(element) is type(value)


def test_a_field_that_is_not_there_has_its_default() -> None:
    cls = struct_class(None, (1, TType.I32, "number", None, 7))
    assert decode_struct(cls, {}).number == 7
    assert decode_struct(cls, {"1": {"i32": 8}}).number == 8


# --- where real senders differ ---------------------------------------------------------------------------


def test_a_float_in_an_integer_field_is_truncated() -> None:
    assert decode_struct(Event, event(_4={"i64": 1700000000000.75})).client_timestamp == 1700000000000
    assert decode_struct(holder(TType.I32), {"1": {"i32": -1.9}}).value == -1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"nan", math.nan),
        (b"inf", math.inf),
        (b"-inf", -math.inf),
        (b"NaN", math.nan),
        (b"Infinity", math.inf),
        (b"-Infinity", -math.inf),
        (b'"NaN"', math.nan),
        (b'"Infinity"', math.inf),
        (b'"-Infinity"', -math.inf),
        (b"3", 3.0),
        (b"1e3", 1000.0),
    ],
)
def test_every_way_to_write_a_double_is_read(text: bytes, number: float) -> None:
    value = decode_struct(holder(TType.DOUBLE), load_json(b'{"1":{"dbl":%s}}' % text)).value
    assert type(value) is float
    assert value == number or (math.isnan(value) and math.isnan(number))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0.1, 5.0])
def test_doubles_as_keys_are_read(number: float) -> None:
    cls = holder(TType.MAP, (TType.DOUBLE, None, TType.DOUBLE, None, False))
    ((key, value),) = decode_struct(cls, load_json(encode(cls(value={number: number})))).value.items()
    assert key == value == number or (math.isnan(key) and math.isnan(value))


def test_a_bool_may_be_a_json_bool() -> None:
    for value, expected in ((1, True), (0, False), (True, True), (False, False)):
        assert decode_struct(holder(TType.BOOL), {"1": {"tf": value}}).value is expected


def test_base64_may_lack_its_padding() -> None:
    cls = holder(TType.STRING, "BINARY")
    for text in ("YQ==", "YQ=", "YQ"):
        assert decode_struct(cls, {"1": {"str": text}}).value == b"a"


def test_fields_with_unknown_ids_are_skipped_whatever_they_hold() -> None:
    unknown = {"999": {"str": 5}, "-3": None, "0": [[[]]], "1000000": {"what": "ever"}}
    assert decode_struct(Event, {**EVENT, **unknown}) == Event(source="s", action="a", noun="n")


def test_fields_with_unknown_ids_are_kept_where_they_are_asked_for_at_every_depth(tmp_path: Any) -> None:
    zoo = compiled(ZOO, "py:slots", tmp_path)
    odd = {"str": 5, "what": [math.nan]}
    document = {
        "1": {"str": "t"},
        "-9": odd,
        "2": {"lst": ["rec", 2, {"1": {"str": "kid"}, "200": odd}, {"1": {"str": "kid"}}]},
        "3": {"map": ["str", "rec", 1, {"k": {"1": {"str": "n"}, "7": odd}}]},
        "4": {"rec": {"1": {"str": "l"}, "8": odd}},
    }
    unknown = UnknownFields()
    tree = decode_struct(zoo.Tree, document, unknown)
    kept = {"str": 5, "what": ["NaN"]}
    assert to_plain(tree, unknown) == {
        "name": "t",
        "kids": [{"name": "kid", "unknown_fields": {"200": kept}}, {"name": "kid"}],
        "named": {"k": {"name": "n", "unknown_fields": {"7": kept}}},
        "left": {"name": "l", "unknown_fields": {"8": kept}},
        "unknown_fields": {"-9": kept},
    }
    assert sorted(unknown.ids) == ["-9", "200", "7", "8"]
    assert "unknown_fields" not in to_plain(tree)


def test_where_unknown_fields_are_kept_enums_stay_numbers_known_or_not(tmp_path: Any) -> None:
    zoo = compiled(ZOO, "py:enum", tmp_path)
    unknown = UnknownFields()
    document = {"7": {"i32": 99}, "12": {"lst": ["i32", 1, 5]}, "500": {"str": "new"}}
    mixed = decode_struct(zoo.Mixed, document, unknown)
    assert to_plain(mixed, unknown)["colour"] == 99
    assert to_plain(mixed, unknown)["unknown_fields"] == {"500": {"str": "new"}}
    with pytest.raises(DecodeError):
        decode_struct(zoo.Mixed, document)


# --- where a mistake would go unnoticed ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        ([], "Event", "expected an object"),
        (None, "Event", "expected an object"),
        ({}, "action", "required"),
        ({"1": {"str": "s"}, "2": {"str": "a"}}, "noun", "required"),
        ({**EVENT, "x": 1}, "Event", "'x' is not a field id"),
        ({**EVENT, "1.0": 1}, "Event", "is not a field id"),
        ({**EVENT, "\u0661": 1}, "Event", "is not a field id"),
        (event(_1="s"), "source", 'expected {"str":VALUE}'),
        (event(_1={}), "source", 'expected {"str":VALUE}'),
        (event(_1={"str": "s", "i32": 1}), "source", 'expected {"str":VALUE}'),
        (event(_1={"i32": 1}), "source", 'expected {"str":VALUE}'),
        (event(_1={"str": 5}), "source", "expected text, not 5"),
        (event(_1={"str": None}), "source", "expected text, not None"),
        (event(_1={"str": "\ud800"}), "source", "surrogate"),
        (event(_4={"i64": 2**63}), "client_timestamp", "expected a number from"),
        (event(_4={"i64": 1e19}), "client_timestamp", "expected a number from"),
        (event(_4={"i64": math.nan}), "client_timestamp", "expected a number from"),
        (event(_4={"i64": math.inf}), "client_timestamp", "expected a number from"),
        (event(_4={"i64": "5"}), "client_timestamp", "expected a number from"),
        (event(_4={"i64": True}), "client_timestamp", "expected a number from"),
        (event(_20={"rec": []}), "user", "expected an object"),
        (event(_20={"rec": {"1": {"str": 5}}}), "user.id", "expected text"),
        (event(_20={"rec": {"2": {"tf": 2}}}), "user.is_logged_in", "expected a bool"),
        (event(_20={"rec": {"2": {"tf": 1.0}}}), "user.is_logged_in", "expected a bool"),
        (event(_20={"rec": {"5": {"lst": ["str", 2, "a", 5]}}}), "user.roles[1]", "expected text"),
        (event(_20={"rec": {"5": {"lst": ["str", 3, "a", "b"]}}}), "user.roles", "3 elements are announced, 2"),
        (event(_20={"rec": {"5": {"lst": ["str", 2.0, "a", "b"]}}}), "user.roles", "announced"),
        (event(_20={"rec": {"5": {"lst": ["str"]}}}), "user.roles", 'expected ["str",N'),
        (event(_20={"rec": {"5": {"lst": ["i32", 0]}}}), "user.roles", 'expected ["str",N'),
        (event(_20={"rec": {"5": {"lst": {}}}}), "user.roles", 'expected ["str",N'),
        (event(_26={"rec": {"5": {"dbl": True}}}), "geo.latitude", "expected a number"),
        (event(_26={"rec": {"5": {"dbl": "nan"}}}), "geo.latitude", "expected a number"),
        (event(_26={"rec": {"5": {"dbl": []}}}), "geo.latitude", "expected a number"),
        (event(_26={"rec": {"5": {"dbl": 10**400}}}), "geo.latitude", "expected a number"),
        (event(_27={"lst": ["rec", 1, {"1": {"tf": 1}}]}), "experiments[0].name", 'expected {"str":VALUE}'),
        (event(_50={"map": ["str", "str", 1, {"k": 5}]}), "properties['k']", "expected text"),
        (event(_50={"map": ["str", "str", 2, {"k": "v"}]}), "properties", "2 elements are announced, 1"),
        (event(_50={"map": ["str", "dbl", 0, {}]}), "properties", 'expected ["str","str",N'),
        (event(_50={"map": ["str", "str", 0]}), "properties", 'expected ["str","str",N'),
        (event(_50={"map": ["str", "str", 0, []]}), "properties", 'expected ["str","str",N'),
        (event(_50={"map": ["str", "str", 0, {}, {}]}), "properties", 'expected ["str","str",N'),
        (event(_50={"map": {}}), "properties", 'expected ["str","str",N'),
    ],
)
def test_a_mistake_is_refused_with_its_path(document: Any, path: str, reason: str) -> None:
    error = refused(Event, document)
    assert error.path == path
    assert reason in error.reason
    assert str(error) == f"{error.path}: {error.reason}"


@pytest.mark.parametrize(
    ("kind", "arguments", "value", "path"),
    [
        (TType.BYTE, None, {"i8": 128}, "value"),
        (TType.I16, None, {"i16": -32769}, "value"),
        (TType.I32, None, {"i32": 2**31}, "value"),
        (TType.STRING, "BINARY", {"str": "a$=="}, "value"),
        (TType.STRING, "BINARY", {"str": "é"}, "value"),
        (16, None, {"uid": "no-uuid"}, "value"),
        (16, None, {"uid": 5}, "value"),
        (
            TType.MAP,
            (TType.I32, None, TType.I32, None, False),
            {"map": ["i32", "i32", 1, {"x": 1}]},
            "value['x']",
        ),
        (
            TType.MAP,
            (TType.I32, None, TType.I32, None, False),
            {"map": ["i32", "i32", 1, {'"1"': 1}]},
            "value['\"1\"']",
        ),
        (
            TType.MAP,
            (TType.BYTE, None, TType.I32, None, False),
            {"map": ["i8", "i32", 1, {"128": 1}]},
            "value['128']",
        ),
        (
            TType.MAP,
            (TType.STRUCT, [POINT], TType.I32, None, False),
            {"map": ["rec", "i32", 1, {"{}": 1}]},
            "value['{}']",
        ),
        (TType.SET, (TType.STRUCT, [Geo], False), {"set": ["rec", 1, {}]}, "value"),
    ],
)
def test_a_value_out_of_its_type_is_refused(kind: int, arguments: Any, value: Any, path: str) -> None:
    assert refused(holder(kind, arguments), {"1": value}).path == path


def test_structs_are_read_64_deep_and_no_deeper() -> None:
    node = struct_class(None, slots=False, name="Node")
    node.thrift_spec = (None, (1, TType.STRUCT, "next", [node, None], None))

    def nested(depth: int) -> object:
        document: object = {}
        for _ in range(depth - 1):
            document = {"1": {"rec": document}}
        return document

    assert MAX_DEPTH == 64
    decode_struct(node, nested(64))
    error = refused(node, nested(65))
    assert error.path == ".".join(["next"] * 64)
    assert "64 structs" in error.reason


def test_an_error_is_of_our_tree_and_can_be_pickled() -> None:
    error = refused(Event, {})
    assert isinstance(error, EventPubError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# --- JSON text -------------------------------------------------------------------------------------------


def test_raw_control_characters_in_strings_are_read() -> None:
    text = "".join(map(chr, range(1, 32)))
    assert load_json(encode(Event(source=text, action="a", noun="n")))["1"] == {"str": text}  # type: ignore[index]


def test_bare_nan_and_inf_are_read_as_numbers_and_within_strings_as_text() -> None:
    text = rb'{"nan":nan,"inf":[inf,-inf,nan],"a":"nan,inf","b":"\"nan","c":"\\","d":nan,"e":"nan\\\","}'
    document: Any = load_json(text)
    assert math.isnan(document["nan"])
    assert document["inf"][:2] == [math.inf, -math.inf]
    assert [document[key] for key in "abce"] == ["nan,inf", '"nan', "\\", 'nan\\",']
    assert math.isnan(document["d"])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a":1}x',
        b'{"a":nano}',
        b'{"a":1nan}',
        b'{"a":-nan}',
        b'["nan',
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        '{"a":1}'.encode("utf-16"),
        b"[" * 100_000,
        b"[" * 100_000 + b"nan",
        b'{"a":' * 100_000,
        b"9" * 5_000,
        b"[-" + b"9" * 5_000 + b"]",
    ],
)
def test_what_is_no_such_text_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011, its message is the parser's
        load_json(text)


def test_hostile_text_is_refused_in_linear_time() -> None:
    for text in (b'"\\"' * 60_000, b'"' + b'\\"' * 60_000, b"nan" * 60_000, b'["nan",' * 500 + b'"' * 60_000):
        started = time.perf_counter()
        with pytest.raises(ValueError):  # noqa: PT011
            load_json(text)
        assert time.perf_counter() - started < 2  # some 10 ms; a quadratic search takes a minute


# --- plain values ----------------------------------------------------------------------------------------


def test_an_event_becomes_a_plain_object_by_field_names() -> None:
    struct = Event(
        source="s",
        action="a",
        noun="n",
        user=User(id="u", is_logged_in=False, roles=[]),
        geo=Geo(latitude=math.nan, longitude=-math.inf),
        app=App(),
        experiments=[Experiment(name="x")],
        properties={"k": "v"},
        measurements={"m": math.inf},
    )
    assert to_plain(struct) == {
        "source": "s",
        "action": "a",
        "noun": "n",
        "user": {"id": "u", "is_logged_in": False, "roles": []},
        "geo": {"latitude": "NaN", "longitude": "-Infinity"},
        "app": {},
        "experiments": [{"name": "x"}],
        "properties": {"k": "v"},
        "measurements": {"m": "Infinity"},
    }


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (b"\xff", "/w=="),
        (bytearray(b"a"), "YQ=="),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ({3}, [3]),
        ((1, 2), [1, 2]),
        ({5: 1, True: 2, 1.5: 3, b"a": 4}, {"5": 1, "true": 2, "1.5": 3, "YQ==": 4}),
        ({POINT(x=1): 2}, [[{"x": 1}, 2]]),
        ({(1, 2): POINT()}, [[[1, 2], {}]]),
        ([None, True, 2**70], [None, True, 2**70]),
    ],
)
def test_a_value_of_each_kind_becomes_plain(value: Any, plain: Any) -> None:
    assert to_plain(holder(TType.I32)(value=value)) == {"value": plain}


def test_an_enum_stays_a_number() -> None:
    class Colour(enum.IntEnum):
        RED = 3

    plain = to_plain(holder(TType.I32)(value=Colour.RED))
    assert plain == {"value": 3}
    assert type(plain["value"]) is int
