"""Struct classes for the tests of Thrift JSON: made by hand, by Hypothesis, and by the thrift compiler."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from thrift.protocol.TJSONProtocol import TJSONProtocolFactory
from thrift.Thrift import TFrozenDict, TType
from thrift.TSerialization import serialize

# making a class takes a millisecond, so that a busy machine looks like a slow strategy to Hypothesis
bounded = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

_module_numbers = itertools.count()


def by_thrift(struct: Any) -> bytes:
    """What thrift's own TJSONProtocol makes of a struct."""
    return serialize(struct, TJSONProtocolFactory())


# --- by hand ---------------------------------------------------------------------------------------------


class Struct:
    """What the compiler's classes have in common. Hashable, unlike most of them, so that it can be a key."""

    __slots__ = ()
    thrift_spec: tuple[Any, ...] = ()

    def __init__(self, **values: Any) -> None:
        for field in filter(None, self.thrift_spec):
            setattr(self, field[2], values.pop(field[2], field[4]))
        assert not values

    def write(self, protocol: Any) -> None:
        protocol.writeStruct(self, self.thrift_spec)

    def read(self, protocol: Any) -> None:
        protocol.readStruct(self, self.thrift_spec)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._values() == self._values()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values()})"

    def _values(self) -> list[Any]:
        return [getattr(self, field[2]) for field in filter(None, self.thrift_spec)]


def struct_class(*fields: tuple[Any, ...] | None, name: str = "Made", slots: bool = True) -> Any:
    """Make a class with fields `(id, type, name[, arguments[, default]])`; None stands for a gap."""
    spec = tuple(field and (*field, None, None)[:5] for field in fields)
    namespace: dict[str, Any] = {"thrift_spec": spec}
    if slots:
        namespace["__slots__"] = tuple(field[2] for field in spec if field)
    return type(name, (Struct,), namespace)


def holder(kind: int, arguments: Any = None) -> Any:
    """Make a class with one field `value` of a type."""
    return struct_class(None, (1, kind, "value", arguments))


# --- by Hypothesis ---------------------------------------------------------------------------------------


@dataclass
class TypeCase:
    """A Thrift type, and values for it."""

    kind: int
    arguments: Any
    values: st.SearchStrategy[Any]


def _integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


TEXTS = st.text(max_size=8) | st.text('\\"/\b\f\n\r\t\x00\x0b\x1f\x7fu0\u2028é\U0001f600', max_size=8)
LEAVES = [
    TypeCase(TType.BOOL, None, st.booleans()),
    TypeCase(TType.BYTE, None, _integers(8)),
    TypeCase(TType.I16, None, _integers(16)),
    TypeCase(TType.I32, None, _integers(32)),
    TypeCase(TType.I64, None, _integers(64)),
    TypeCase(TType.DOUBLE, None, st.floats(allow_nan=False)),
    TypeCase(TType.STRING, "UTF8", TEXTS),
    TypeCase(TType.STRING, "BINARY", st.binary(max_size=8)),
]
if hasattr(TType, "UUID"):  # not in old releases
    LEAVES.append(TypeCase(TType.UUID, None, st.uuids()))


@st.composite
def type_cases(draw: st.DrawFn, depth: int, *, leaf_keys: bool, hashable: bool = False) -> TypeCase:
    """Any type, nested at most `depth` deep.

    Args:
        leaf_keys: leave out what JSON has no keys for.
        hashable: as the element of a set or the key of a map has to be.
    """
    kinds = ["leaf", "leaf"] + ["list", "set", "map", "struct"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(st.sampled_from(LEAVES))
    if kind == "struct":
        return draw(struct_cases(depth - 1, leaf_keys=leaf_keys, hashable=hashable))
    element = draw(type_cases(depth - 1, leaf_keys=leaf_keys, hashable=hashable or kind == "set"))
    if kind in ("list", "set"):
        number = TType.LIST if kind == "list" else TType.SET
        make = {"list": (list, tuple), "set": (set, frozenset)}[kind][hashable]
        elements = st.lists(element.values, max_size=3).map(make)
        return TypeCase(number, (element.kind, element.arguments, hashable), elements)
    key_depth = 0 if leaf_keys else depth - 1
    key = draw(type_cases(key_depth, leaf_keys=leaf_keys, hashable=True))
    entries = st.dictionaries(key.values, element.values, max_size=3)
    arguments = (key.kind, key.arguments, element.kind, element.arguments, hashable)
    return TypeCase(TType.MAP, arguments, entries.map(TFrozenDict) if hashable else entries)


@st.composite
def struct_cases(draw: st.DrawFn, depth: int = 2, *, leaf_keys: bool, hashable: bool = False) -> TypeCase:
    """Any struct class: ids in any order, with gaps, with slots or without."""
    ids = draw(st.lists(st.integers(1, 32767), max_size=4, unique=True))
    cases = [draw(type_cases(depth, leaf_keys=leaf_keys, hashable=hashable)) for _ in ids]
    fields: list[tuple[Any, ...] | None] = [
        (number, case.kind, f"f{index}", case.arguments)
        for index, (number, case) in enumerate(zip(ids, cases, strict=True))
    ]
    for position in draw(st.lists(st.integers(0, 4), max_size=2)):
        fields.insert(position, None)
    cls = struct_class(*fields, slots=draw(st.booleans()))
    values = {f"f{index}": st.none() | case.values for index, case in enumerate(cases)}
    return TypeCase(TType.STRUCT, [cls, cls.thrift_spec], st.builds(cls, **values))


@st.composite
def structs(draw: st.DrawFn, *, leaf_keys: bool = False) -> Any:
    """A struct of any class."""
    return draw(draw(struct_cases(leaf_keys=leaf_keys)).values)


# --- by the compiler -------------------------------------------------------------------------------------

ZOO = """
enum Colour { RED = 1, GREEN = 5 }
struct Tree {
  1: required string name, 2: optional list<Tree> kids, 3: optional map<string, Tree> named,
  4: optional Tree left
}
struct Mixed {
  7: optional Colour colour, 3: optional i64 number = 5, 300: optional binary raw, 2: optional bool flag,
  5: double score, 9: list<i32> numbers = [1, 2], 10: set<string> groups, 11: map<Colour, double> weights,
  12: list<Colour> colours
}
union Either { 1: string text, 2: Tree tree }
exception Failed { 1: string message, 2: i32 code }
struct Negative { -1: string a, 2: required i32 b, 3: list<Tree> trees }
struct Holder { 1: optional Negative negative, 2: optional Empty empty, 3: optional Either either }
struct Empty {}
"""


def compiled(source: str, options: str, folder: Path) -> ModuleType:
    """Return the module of types the thrift compiler makes of `source`; skip the test where there is none."""
    if shutil.which("thrift") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the thrift compiler is missing")
        pytest.skip("no thrift compiler here (apt-get install thrift-compiler)")
    schema = folder / "zoo.thrift"
    schema.write_text(source)
    subprocess.run(
        ["thrift", "--allow-neg-keys", "-nowarn", "-out", folder, "--gen", options, schema],
        check=True,
        timeout=60,
    )
    name = f"zoo_{next(_module_numbers)}"
    spec = importlib.util.spec_from_file_location(name, folder / "zoo" / "ttypes.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
