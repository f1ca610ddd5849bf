"""The fields of a struct class whose `thrift_spec` is empty, learned from its own `write` and `read`.

The thrift compiler leaves the spec empty where a field has a negative id. The generated methods still tell all
there is to know: `write` names each field with its type and id, in the order thrift writes them, and `read`
makes a value of the declared shape out of what the protocol hands it. So `write` is run with sample values and
a protocol that takes notes, and then `read`, field by field, with a protocol that hands out tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_STOP = 0  # thrift.Thrift.TType.STOP


class Declared(NamedTuple):
    """A field as the generated code declares it.

    Attributes:
        number: its id.
        name: its attribute.
        value: a value of its shape: a `Token` for a leaf, a container with one element, or a struct.
    """

    number: int
    name: str
    value: Any


class Token(NamedTuple):
    """Stands for a leaf value in what `read` makes.

    Attributes:
        leaf: its name in Thrift JSON, but `text` or `base64` where that is `str`.
    """

    leaf: str


def probe_fields(cls: type) -> list[Declared]:
    """Return the fields of a generated class; none if its methods are not those the compiler writes."""
    try:
        struct = cls()
        code = cls.__init__.__code__  # type: ignore[misc]  # it has one parameter a field
        for name in code.co_varnames[1 : code.co_argcount]:
            setattr(struct, name, _Sample())
        notes = _Notes()
        struct.write(notes)
        return [
            Declared(number, name, _read_one(cls, kind, number, name)) for name, kind, number in notes.fields
        ]
    except Exception:  # noqa: BLE001, code that is not ours: what cannot be probed is left to thrift itself
        return []


def _read_one(cls: type, kind: int, number: int, name: str) -> Any:
    struct: Any = cls()
    setattr(struct, name, None)
    struct.read(_Tokens(kind, number))
    return getattr(struct, name)


class _Sample:
    """A value of every type at once, as far as `write` can tell."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter((_Sample(),))

    def items(self) -> Any:
        """Return the one entry of a map."""
        return [(_Sample(), _Sample())]

    def write(self, _protocol: object) -> None:
        """Be written as a struct."""


class _Notes:
    """A protocol to write to; keeps name, type and id of each field."""

    _fast_encode = None

    def __init__(self) -> None:
        self.fields: list[tuple[str, int, int]] = []

    def writeFieldBegin(self, name: str, kind: int, number: int) -> None:  # noqa: N802, thrift's name
        self.fields.append((name, kind, number))

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


class _Tokens:
    """A protocol to read from: one field, whose containers have one element, and whose structs are empty."""

    _fast_decode = None
    trans = None

    def __init__(self, kind: int, number: int) -> None:
        self._heads = [(None, kind, number)]

    def readFieldBegin(self) -> tuple[None, int, int]:  # noqa: N802, thrift's name
        return self._heads.pop() if self._heads else (None, _STOP, 0)

    def readListBegin(self) -> tuple[int, int]:  # noqa: N802
        return (_STOP, 1)

    readSetBegin = readListBegin  # noqa: N815

    def readMapBegin(self) -> tuple[int, int, int]:  # noqa: N802
        return (_STOP, _STOP, 1)

    def __getattr__(self, name: str) -> Any:
        return lambda: _LEAVES.get(name)


_LEAVES = {
    "readBool": Token("tf"),
    "readByte": Token("i8"),
    "readI16": Token("i16"),
    "readI32": Token("i32"),
    "readI64": Token("i64"),
    "readDouble": Token("dbl"),
    "readString": Token("text"),
    "readBinary": Token("base64"),
    "readUuid": Token("uid"),
}
