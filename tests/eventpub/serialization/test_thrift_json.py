"""Structs to Thrift JSON: `eventpub/serialization/thrift_json.py`."""

from __future__ import annotations

import enum
import pickle
import re
import subprocess
import sys
import threading
import uuid
from collections import deque
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thrift_structs import ZOO, Struct, bounded, by_thrift, compiled, holder, struct_class, structs
from thrift.Thrift import TException, TFrozenDict, TType
from thrift.TRecursive import fix_spec

from eventpub.errors import EventSerializationError
from eventpub.schemas.event.ttypes import Event, Experiment, Request, User
from eventpub.serialization.thrift_json import serialize_v2_event as encode
from eventpub.serialization.thrift_json import show_value
from eventpub.serialization.thrift_spec import read_fields
from eventpub.serialization.unwritable import strict_values

POINT = struct_class(None, (1, TType.I32, "x"), (2, TType.I32, "y"), name="Point")
STRINGS = (TType.STRING, "UTF8", False)
INTEGERS = [(TType.BYTE, 8), (TType.I16, 16), (TType.I32, 32), (TType.I64, 64)]


def refused(struct: Any) -> EventSerializationError:
    with strict_values(), pytest.raises(EventSerializationError) as caught:
        encode(struct)
    return caught.value


# --- the same bytes as thrift ----------------------------------------------------------------------------


@bounded
@given(structs())
def test_any_struct_of_any_class_is_written_as_thrift_writes_it(struct: Any) -> None:
    assert encode(struct) == by_thrift(struct)


@bounded
@given(st.text())
def test_any_text_is_written_as_thrift_writes_it(text: str) -> None:
    struct = Event(source=text, action=text, noun=text, properties={text: text})
    assert encode(struct) == by_thrift(struct)


@bounded
@given(st.floats())
def test_any_double_is_written_as_thrift_writes_it(number: float) -> None:
    struct = Event(source="s", action="a", noun="n", measurements={"m": number})
    assert encode(struct) == by_thrift(struct)


@bounded
@given(st.sampled_from(INTEGERS), st.data())
def test_a_float_in_an_integer_field_is_written_as_thrift_writes_it(
    kind_bits: tuple[int, int], data: Any
) -> None:
    kind, bits = kind_bits
    struct = holder(kind)(
        value=data.draw(st.floats(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1), exclude_max=bits == 64))
    )
    try:
        expected = by_thrift(struct)
    except TException:
        refused(struct)
    else:
        assert encode(struct) == expected


def test_the_event_of_baseplates_documentation_is_these_bytes() -> None:
    event = Event(
        source="baseplate",
        action="test",
        noun="baseplate",
        client_timestamp=1700000000000.25,
        uuid="123e4567-e89b-12d3-a456-426614174000",
    )
    assert encode(event) == (
        b'{"1":{"str":"baseplate"},"2":{"str":"test"},"3":{"str":"baseplate"},"4":{"i64":1700000000000.25},'
        b'"5":{"str":"123e4567-e89b-12d3-a456-426614174000"}}'
    )
    assert encode(event) == by_thrift(event)


@pytest.mark.parametrize(
    ("kind", "arguments", "value", "text"),
    [
        (TType.BOOL, None, True, '"tf":1'),
        (TType.BOOL, None, False, '"tf":0'),
        (TType.BYTE, None, -128, '"i8":-128'),
        (TType.I16, None, 32767, '"i16":32767'),
        (TType.I32, None, -2147483648, '"i32":-2147483648'),
        (TType.I64, None, -9223372036854775808, '"i64":-9223372036854775808'),
        (TType.DOUBLE, None, 0.1, '"dbl":0.10000000000000001'),
        (TType.DOUBLE, None, 5, '"dbl":5'),
        (TType.DOUBLE, None, float("nan"), '"dbl":nan'),
        (TType.DOUBLE, None, float("-inf"), '"dbl":-inf'),
        (TType.DOUBLE, None, -0.0, '"dbl":-0'),
        (TType.STRING, "UTF8", 'a"\\/\b\f\n\r\té', '"str":"a\\"\\\\/\\b\\f\\n\\r\\té"'),
        (TType.STRING, "BINARY", b"\xff\x00", '"str":"/wA="'),
        (TType.STRING, "BINARY", bytearray(b"a"), '"str":"YQ=="'),
        (TType.LIST, STRINGS, [], '"lst":["str",0]'),
        (TType.LIST, STRINGS, ["a", "b"], '"lst":["str",2,"a","b"]'),
        (TType.LIST, STRINGS, ("a", "b"), '"lst":["str",2,"a","b"]'),
        (TType.LIST, STRINGS, deque(["a"]), '"lst":["str",1,"a"]'),
        (TType.SET, (TType.I32, None, False), {7}, '"set":["i32",1,7]'),
        (TType.LIST, (TType.LIST, STRINGS, False), [["a"], []], '"lst":["lst",2,["str",1,"a"],["str",0]]'),
        (TType.LIST, (TType.BOOL, None, False), [True, False], '"lst":["tf",2,1,0]'),
        (TType.MAP, (*STRINGS[:2], TType.DOUBLE, None, False), {}, '"map":["str","dbl",0,{}]'),
        (
            TType.MAP,
            (*STRINGS[:2], TType.I64, None, False),
            {"a": 1, "b": 2},
            '"map":["str","i64",2,{"a":1,"b":2}]',
        ),
        (TType.MAP, (*STRINGS[:2], *STRINGS), MappingProxyType({"a": "b"}), '"map":["str","str",1,{"a":"b"}]'),
        (TType.STRUCT, [POINT, POINT.thrift_spec], POINT(y=2), '"rec":{"2":{"i32":2}}'),
        (TType.STRUCT, [POINT, POINT.thrift_spec], POINT(), '"rec":{}'),
    ],
)
def test_a_value_of_each_type_is_these_bytes(kind: int, arguments: Any, value: Any, text: str) -> None:
    struct = holder(kind, arguments)(value=value)
    assert encode(struct).decode() == f'{{"1":{{{text}}}}}'
    assert encode(struct) == by_thrift(struct)


@pytest.mark.parametrize(
    ("kind", "arguments", "key", "text"),
    [
        (TType.BOOL, None, True, '"1"'),
        (TType.BYTE, None, 5, '"5"'),
        (TType.I64, None, -5, '"-5"'),
        (TType.DOUBLE, None, 1.5, '"1.5"'),
        (TType.DOUBLE, None, float("inf"), '"inf"'),
        (TType.STRING, "UTF8", 'q"', '"q\\""'),
        (TType.STRING, "BINARY", b"a", '"YQ=="'),
        (TType.STRUCT, [POINT, None], POINT(x=1), '{"1":{"i32":1}}'),
        (TType.LIST, (TType.I32, None, True), (1, 2), '["i32",2,1,2]'),
        (TType.SET, (TType.I32, None, True), frozenset([1]), '["i32",1,1]'),
        (TType.MAP, (TType.I32, None, TType.I32, None, True), TFrozenDict({1: 2}), '["i32","i32",1,{"1":2}]'),
    ],
)
def test_a_key_of_each_type_is_these_bytes(kind: int, arguments: Any, key: Any, text: str) -> None:
    struct = holder(TType.MAP, (kind, arguments, TType.I16, None, False))(value={key: 3})
    assert f",1,{{{text}:3}}]" in encode(struct).decode()
    assert encode(struct) == by_thrift(struct)


def test_a_uuid_is_its_usual_text_as_value_and_as_key() -> None:
    number = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
    assert encode(holder(16)(value=number)) == b'{"1":{"uid":"123e4567-e89b-12d3-a456-426614174000"}}'
    assert encode(holder(16)(value=str(number))) == encode(holder(16)(value=number))
    assert b'{"123e4567-e89b-12d3-a456-426614174000":1}' in encode(
        holder(TType.MAP, (16, None, TType.BYTE, None, False))(value={number: 1})
    )


def test_control_characters_without_a_short_escape_stay_as_they_are() -> None:
    text = "".join(map(chr, range(32))) + "\x7f\x80\u2028"
    struct = holder(TType.STRING, "UTF8")(value=text)
    assert encode(struct) == by_thrift(struct)
    assert b"\x00\x01\x02" in encode(struct)


def test_text_that_looks_like_an_escape_is_kept() -> None:
    struct = holder(TType.STRING, "UTF8")(value="\\u0041 \\\x01 \\\\u0001")
    assert encode(struct) == by_thrift(struct) == b'{"1":{"str":"\\\\u0041 \\\\\x01 \\\\\\\\u0001"}}'


def test_a_bool_is_1_only_for_true_itself() -> None:
    for value in (1, "yes", [0]):
        struct = holder(TType.BOOL)(value=value)
        assert encode(struct) == by_thrift(struct) == b'{"1":{"tf":0}}'


def test_unset_fields_are_left_out() -> None:
    assert (
        encode(Event(source="s", action="a", noun="n")) == b'{"1":{"str":"s"},"2":{"str":"a"},"3":{"str":"n"}}'
    )


def test_defaults_are_written_unless_unset() -> None:
    cls = struct_class(None, (1, TType.I32, "number", None, 7))
    assert encode(cls()) == b'{"1":{"i32":7}}'
    assert encode(cls(number=None)) == b"{}"


def test_ids_may_come_in_any_order_and_with_gaps() -> None:
    cls = struct_class((900, TType.I32, "late"), None, (2, TType.I32, "early"), None, None)
    assert encode(cls(late=1, early=2)) == by_thrift(cls(late=1, early=2)) == b'{"900":{"i32":1},"2":{"i32":2}}'


def test_classes_without_slots_and_subclasses_are_written_alike() -> None:
    plain = struct_class(None, (1, TType.I32, "x"), slots=False)
    nested = holder(TType.STRUCT, [plain, plain.thrift_spec])
    subclass = type("Special", (plain,), {})
    assert encode(plain(x=1)) == encode(subclass(x=1)) == b'{"1":{"i32":1}}'
    assert encode(nested(value=subclass(x=1))) == b'{"1":{"rec":{"1":{"i32":1}}}}'


def test_enum_members_are_written_as_their_numbers() -> None:
    class Colour(enum.IntEnum):
        RED = 3

    class Old(int, enum.Enum):
        RED = 3

    for member in (Colour.RED, Old.RED):
        assert encode(holder(TType.I32)(value=member)) == b'{"1":{"i32":3}}'


def test_numbers_of_other_libraries_are_written_as_numbers() -> None:
    class Whole:
        def __index__(self) -> int:
            return 7

    class Real:
        def __float__(self) -> float:
            return 0.5

    assert encode(holder(TType.I16)(value=Whole())) == b'{"1":{"i16":7}}'
    assert encode(holder(TType.DOUBLE)(value=Real())) == b'{"1":{"dbl":0.5}}'


def test_structs_that_refer_to_each_other_before_they_are_defined_are_written() -> None:
    node = struct_class(None, (1, TType.STRING, "name", "UTF8"), name="Node", slots=False)
    edge = struct_class(None, (1, TType.STRUCT, "node", [node, None]), name="Edge", slots=False)
    node.thrift_spec += ((2, TType.LIST, "edges", (TType.STRUCT, [edge, None], False), None),)
    fix_spec([node, edge])
    struct = node(name="a", edges=[edge(node=node(name="b", edges=[])), edge()])
    assert encode(struct) == by_thrift(struct)


# --- classes as the compiler writes them -----------------------------------------------------------------


@pytest.mark.parametrize("options", ["py", "py:slots", "py:dynamic,slots", "py:no_utf8strings", "py:old_style"])
def test_what_the_compiler_can_write_is_written_as_thrift_writes_it(options: str, tmp_path: Any) -> None:
    zoo = compiled(ZOO, options, tmp_path)
    tree = zoo.Tree(
        name="a", kids=[zoo.Tree(name="b", named={"x": zoo.Tree(name="c")})], left=zoo.Tree(name="d")
    )
    for struct in (
        tree,
        zoo.Mixed(colour=zoo.Colour.GREEN, raw=b"\xff", flag=True, score=0.1, groups={"a"}, weights={1: 0.5}),
        zoo.Mixed(numbers=None, number=None, colours=[zoo.Colour.RED]),
        zoo.Either(text="t"),
        zoo.Either(tree=tree),
        zoo.Failed(message="m", code=2),
        zoo.Empty(),
    ):
        assert encode(struct) == by_thrift(struct)


@pytest.mark.parametrize("options", ["py", "py:slots"])
def test_every_type_is_learned_from_a_class_whose_spec_is_empty(options: str, tmp_path: Any) -> None:
    declared = """
    enum Colour { RED = 1 }
    struct Tree { 1: required string name }
    struct Probed {
      FIRST
      2: required bool flag = 1, 3: byte small, 4: i16 short, 5: i32 number, 6: i64 big, 7: double real,
      8: string text, 9: binary raw, 10: list<Tree> trees, 11: set<string> names,
      12: map<i32, list<double>> points,
      13: Tree tree, 14: Colour colour, 15: map<string, map<string, i64>> nested
    }
    """
    told = compiled(declared.replace("FIRST", "1: string first,"), options, tmp_path)
    empty = compiled(declared.replace("FIRST", "-1: string first,"), options, tmp_path)
    (_, *expected), (first, *found) = read_fields(told.Probed), read_fields(empty.Probed)
    assert (empty.Probed.thrift_spec, first.number) == ((), -1)
    assert [field._replace(type=None) for field in found] == [field._replace(type=None) for field in expected]
    shown = [re.sub(r"zoo_\d+", "zoo", repr(field.type)) for field in expected]
    assert [re.sub(r"zoo_\d+", "zoo", repr(field.type)) for field in found] == shown


def test_a_class_that_cannot_be_probed_is_left_to_thrift() -> None:
    class Odd:
        thrift_spec = ()

        def write(self, _protocol: Any) -> None:
            raise ValueError

    assert read_fields(Odd) == ()


@pytest.mark.parametrize("options", ["py", "py:slots"])
def test_negative_ids_are_compiled_too(options: str, tmp_path: Any) -> None:
    zoo = compiled(ZOO, options, tmp_path)
    negative = zoo.Negative(a="x", b=1, trees=[zoo.Tree(name="t")])
    assert encode(negative) == by_thrift(negative)
    assert b'"-1":{"str":"x"}' in encode(negative)
    nested = zoo.Holder(negative=negative, empty=zoo.Empty(), either=zoo.Either())
    assert encode(nested) == by_thrift(nested)
    assert [field.number for field in read_fields(zoo.Negative)] == [-1, 2, 3]
    assert refused(zoo.Holder(negative=zoo.Negative(a="x"))).field == "negative.b"
    assert refused(zoo.Negative(a="x")).field == "b"
    assert refused(zoo.Negative(b=2**40)).field == "b"
    assert refused(zoo.Holder(negative=zoo.Tree(name="t"))).reason == "expected a Negative struct"


def test_enums_by_name_are_left_to_thrift(tmp_path: Any) -> None:
    zoo = compiled(ZOO, "py:enum", tmp_path)
    mixed = zoo.Mixed(colour="GREEN", colours=["RED"])
    assert encode(mixed) == by_thrift(mixed)
    assert "no member of its enum" in refused(zoo.Mixed(colour="PINK")).reason


def test_required_fields_of_nested_structs_are_checked(tmp_path: Any) -> None:
    zoo = compiled(ZOO, "py:slots", tmp_path)
    error = refused(zoo.Tree(name="a", kids=[zoo.Tree(name="b"), zoo.Tree(named={"k": zoo.Tree()})]))
    assert (error.field, error.value) == ("kids[1].name", "None")
    assert "required" in error.reason


# --- what is refused, and how it is named ----------------------------------------------------------------


@pytest.mark.parametrize(("kind", "bits"), INTEGERS)
def test_every_integer_type_takes_its_range_and_no_more(kind: int, bits: int) -> None:
    cls = holder(kind)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for value in (low, high, -1, 0, 1):
        assert encode(cls(value=value)) == by_thrift(cls(value=value))
    for value in (low - 1, high + 1, 10**30, -(10**5000)):
        assert f"i{bits} takes" in refused(cls(value=value)).reason
    listed = holder(TType.LIST, (kind, None, False))
    assert encode(listed(value=[low, high])) == by_thrift(listed(value=[low, high]))
    assert refused(listed(value=[0, high + 1])).field == "value[1]"


@pytest.mark.parametrize("required", ["source", "action", "noun"])
def test_a_missing_required_field_is_named(required: str) -> None:
    values = dict.fromkeys({"source", "action", "noun"} - {required}, "x")
    error = refused(Event(**values))
    assert (error.field, error.value, error.reason) == (required, "None", "the field is required")


@pytest.mark.parametrize("kind", [TType.BYTE, TType.I16, TType.I32, TType.I64])
def test_a_bool_in_an_integer_field_is_refused(kind: int) -> None:
    error = refused(holder(kind)(value=True))
    assert (error.field, error.value) == ("value", "of type bool")
    assert "int(value)" in error.reason


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 2.0**63])
def test_a_float_no_integer_comes_near_is_refused_in_an_integer_field(value: float) -> None:
    assert "i64 takes" in refused(holder(TType.I64)(value=value)).reason


@pytest.mark.parametrize(
    ("event", "field", "value", "reason"),
    [
        (Event(source=5), "source", "int", "expected text (str)"),
        (Event(source=b"s"), "source", "bytes", "expected text (str)"),
        (Event(source=["s"]), "source", "list", "expected text (str)"),
        (Event(source="\ud800"), "source", "str", "lone surrogates"),
        (Event(properties={"\udfff": "x"}), "a key of properties", "str", "lone surrogates"),
        (Event(properties={1: "x"}), "a key of properties", "int", "expected text"),
        (Event(properties={"k": 1}), "properties.k", "int", "expected text"),
        (Event(properties=["k"]), "properties", "list", "expected a dict"),
        (Event(measurements={"k": "1"}), "measurements.k", "str", "expected a number"),
        (Event(measurements={"k": 10**400}), "measurements.k", "int", "too large"),
        (Event(client_timestamp="1"), "client_timestamp", "str", "integer"),
        (Event(client_timestamp=2**63), "client_timestamp", "int", "i64 takes"),
        (Event(user=User(id=5)), "user.id", "int", "expected text"),
        (Event(user={"id": "5"}), "user", "dict", "expected a User struct"),
        (Event(user=Request(id="5")), "user", "Request", "expected a User struct"),
        (Event(user=User(roles="admin")), "user.roles", "str", "expected a list"),
        (Event(user=User(roles={"admin": 1})), "user.roles", "dict", "expected a list"),
        (Event(user=User(roles=["a", "b", None])), "user.roles[2]", "NoneType", "expected text"),
        (Event(experiments=[Experiment(), Experiment(name=7)]), "experiments[1].name", "int", "expected text"),
        (Event(request=Request(status_code=2**31)), "request.status_code", "int", "i32 takes"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(event: Event, field: str, value: str, reason: str) -> None:
    event.source = event.source or "s"
    event.action = event.noun = "x"
    error = refused(event)
    assert error.field == field
    assert error.value == f"of type {value}"
    assert reason in error.reason
    assert f"{field} is {error.value}: {error.reason}" in str(error)


@pytest.mark.parametrize(
    ("kind", "arguments", "value", "reason"),
    [
        (TType.STRING, "BINARY", "text", "bytes-like"),
        (TType.DOUBLE, None, "1.5", "expected a number"),
        (16, None, "no-uuid", "hexadecimal UUID"),
        (16, None, 5, "expected a uuid.UUID"),
        (TType.LIST, (TType.BOOL, None, False), [True, None], "expected a bool"),
        (TType.LIST, STRINGS, iter(["a"]), "expected a list"),
        (TType.SET, STRINGS, b"ab", "expected a list"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused(kind: int, arguments: Any, value: Any, reason: str) -> None:
    error = refused(holder(kind, arguments)(value=value))
    assert error.field.startswith("value")
    assert reason in error.reason


def test_an_attribute_that_was_never_set_is_not_written() -> None:
    assert encode(POINT.__new__(POINT)) == b"{}"


def test_a_value_is_shown_shortened() -> None:
    assert len(show_value([["x" * 1000] * 1000] * 1000)) <= 200
    assert show_value(10**5000) == "<int>"


def test_a_struct_that_holds_itself_is_refused() -> None:
    node = struct_class(None, slots=False, name="Node")
    node.thrift_spec = (None, (1, TType.STRUCT, "next", [node, None], None))
    loop = node()
    loop.next = loop
    error = refused(loop)
    assert (error.field, error.value) == ("next", "of type Node")
    assert "holds itself" in error.reason
    assert encode(loop) == b"{}"


@pytest.mark.parametrize("value", [None, 5, "event", {"source": "s"}, Event, object()])
def test_what_is_no_struct_is_refused_and_told_what_to_pass(value: Any) -> None:
    error = refused(value)
    assert error.field == "event"
    assert "generated class" in error.reason
    assert "serialize_json_event" in error.reason


def test_an_error_can_be_pickled() -> None:
    error = refused(Event(source=5, action="a", noun="n"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# --- compiling -------------------------------------------------------------------------------------------


def test_threads_that_meet_a_class_first_at_the_same_time_all_write_it_right() -> None:
    for _ in range(20):
        inner = struct_class(
            None, (1, TType.LIST, "points", (TType.STRUCT, [POINT, None], False)), name="Inner"
        )
        outer = struct_class(None, (1, TType.STRUCT, "inner", [inner, None]), name="Outer")
        struct = outer(inner=inner(points=[POINT(x=1)]))
        start = threading.Barrier(4)
        written = []

        def write(
            struct: Struct = struct, start: threading.Barrier = start, written: list[bytes] = written
        ) -> None:
            start.wait()
            written.append(encode(struct))

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert written == [b'{"1":{"rec":{"1":{"lst":["rec",1,{"1":{"i32":1}}]}}}}'] * 4


def test_a_struct_of_another_generated_copy_of_its_class_is_written_as_thrift_writes_it() -> None:
    """As where one .thrift file was compiled into two packages."""
    declared, copy = (struct_class(None, (1, TType.I32, "n"), name="Inner") for _ in range(2))
    argument = [declared, None]
    outer = struct_class(
        None, (1, TType.STRUCT, "one", argument), (2, TType.LIST, "many", (TType.STRUCT, argument, False))
    )
    struct = outer(one=copy(n=1), many=[copy(n=2)])
    assert encode(struct) == by_thrift(struct)


def test_a_subclass_that_writes_itself_is_written_that_way() -> None:
    class Quiet(Event):
        def write(self, protocol: Any) -> None:
            Event(source=self.source, action=self.action, noun="quiet").write(protocol)

    quiet = Quiet(source="s", action="a", noun="n")
    assert encode(quiet) == by_thrift(quiet) == encode(Event(source="s", action="a", noun="quiet"))


def test_serializing_imports_neither_thrift_nor_anything_else_heavy() -> None:
    code = """
import sys
import eventpub.serialization.serialize
class Point:
    thrift_spec = (None, (1, 8, "x", None, None))
    x = 1
assert eventpub.serialization.serialize.serialize_v2_event(Point()) == b'{"1":{"i32":1}}'
print(*({"thrift", "requests", "gevent", "decimal"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
