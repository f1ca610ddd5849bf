"""What a struct class written by the thrift compiler declares.

Both ends of Thrift JSON, the encoder (`thrift_json`) and the decoder (`thrift_json_decode`), know struct
classes only through this module. It alone imports thrift, and only for classes whose `thrift_spec` does not
tell enough: it does not know of the enums that a field takes by name (compiler option `py:enum`). Where it is
empty, since there are negative field ids, the fields are learned from the generated methods (`thrift_probe`).
"""

from __future__ import annotations

import json
import re
from enum import EnumMeta
from functools import cache
from typing import Any, NamedTuple

from .thrift_probe import Declared, Token, probe_fields
from .unwritable import UnfitError

# by thrift.Thrift.TType; the names are those of thrift's JSON protocol in every language
_NAMES = {
    2: "tf",
    3: "i8",
    4: "dbl",
    6: "i16",
    8: "i32",
    10: "i64",
    11: "str",
    12: "rec",
    13: "map",
    14: "set",
    15: "lst",
    16: "uid",
}
INTEGER_BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}

_GENERATED = ("write", "thrift_spec")
_REQUIRED = re.compile(r"Required field (\w+) is unset!")


class Type(NamedTuple):
    """A Thrift type: a leaf, or what it is made of."""

    name: str  # in Thrift JSON
    leaf: str = ""  # the same, but "text" or "base64" where the name is "str"
    struct: Any = None  # a struct's class
    key: Any = None  # Type of a map's keys
    element: Any = None  # Type of a map's values, of a list's or set's elements
    is_immutable: bool = False  # to be read as a tuple, a frozenset or a TFrozenDict, which a set can hold


class Field(NamedTuple):
    """A field of a struct class."""

    number: int
    name: str
    type: Type
    is_required: bool


def is_struct_class(cls: type) -> bool:
    """Tell whether the thrift compiler wrote `cls`."""
    return hasattr(cls, "thrift_spec")


@cache
def read_fields(cls: Any) -> tuple[Field, ...]:
    """Return the fields of a struct class in the order thrift writes them; none if its spec is not usable."""
    return () if _takes_enum_names(cls) or _writes_itself(cls) else read_declared(cls)


@cache
def read_declared(cls: Any) -> tuple[Field, ...]:
    """Return the fields of a struct class as they are on the wire, where an enum is a number."""
    required = _read_required(cls)
    if cls.thrift_spec:
        return tuple(
            Field(number, name, _read_type(kind, arguments), name in required)
            for number, kind, name, arguments, *_ in filter(None, cls.thrift_spec)
        )
    return tuple(_probed_field(found, required) for found in probe_fields(cls))


def field_names(struct: Any) -> list[str]:
    """Return the names of a struct's fields, even if the spec of its class is not usable."""
    if declared := read_fields(struct.__class__):
        return [field.name for field in declared]
    return list(struct.__slots__ if hasattr(struct, "__slots__") else vars(struct))


def _read_type(kind: int, arguments: Any, *, in_set: bool = False) -> Type:
    name = _NAMES[kind]
    if name == "rec":
        return Type(name, struct=arguments[0])
    if name in ("lst", "set"):
        is_immutable = in_set or arguments[2]
        element = _read_type(*arguments[:2], in_set=is_immutable or name == "set")
        return Type(name, element=element, is_immutable=is_immutable)
    if name == "map":
        is_immutable = in_set or arguments[4]
        element = _read_type(*arguments[2:4], in_set=is_immutable)
        return Type(
            name, key=_read_type(*arguments[:2], in_set=True), element=element, is_immutable=is_immutable
        )
    if name == "str":
        return Type(name, leaf="base64" if arguments == "BINARY" else "text")
    return Type(name, leaf=name)


def _probed_field(found: Declared, required: list[str]) -> Field:
    return Field(found.number, found.name, _type_of(found.value), found.name in required)


def _type_of(value: Any) -> Type:
    """Return the type that a probed value shows."""
    if isinstance(value, Token):
        return Type("str" if value.leaf in ("text", "base64") else value.leaf, leaf=value.leaf)
    if isinstance(value, (list, tuple)):
        return Type("lst", element=_type_of(value[0]), is_immutable=isinstance(value, tuple))
    if isinstance(value, (set, frozenset)):
        return Type("set", element=_type_of(next(iter(value))), is_immutable=isinstance(value, frozenset))
    if isinstance(value, dict):
        ((key, element),) = value.items()
        is_immutable = type(value) is not dict
        return Type("map", key=_type_of(key), element=_type_of(element), is_immutable=is_immutable)
    return Type("rec", struct=type(value))


def _read_required(cls: type) -> list[str]:
    """Return the names of the fields the class's `validate()` insists on.

    The spec does not tell; the messages in the generated method do.
    """
    code = getattr(getattr(cls, "validate", None), "__code__", None)
    messages = [text for text in getattr(code, "co_consts", ()) if isinstance(text, str)]
    return _REQUIRED.findall("\n".join(messages))


def _takes_enum_names(cls: Any) -> bool:
    write: Any = getattr(cls, "write", None)
    names = getattr(getattr(write, "__code__", None), "co_names", ())
    return any(isinstance(write.__globals__.get(name), EnumMeta) for name in names)


def _writes_itself(cls: type) -> bool:
    """Return whether a subclass of a generated class has a `write` of its own."""
    places = [next((n for n, base in enumerate(cls.__mro__) if name in vars(base)), 0) for name in _GENERATED]
    return places[0] < places[1]


def frozen_dict(items: dict[Any, Any]) -> Any:
    """Return `items` as what thrift reads a map into that is itself an element of a set or a key of a map."""
    from thrift.Thrift import TFrozenDict  # noqa: PLC0415, rare

    return TFrozenDict(items)


# --- classes without a usable spec: slow, but thrift's own way -------------------------------------------


def write_by_thrift(struct: Any) -> str:
    """Return the Thrift JSON of a struct as thrift itself writes it.

    Raises:
        UnfitError: thrift refuses a value, or a required field is unset.
    """
    from thrift.protocol.TJSONProtocol import TJSONProtocolFactory  # noqa: PLC0415, 10 ms that few ever need
    from thrift.Thrift import TException  # noqa: PLC0415
    from thrift.TSerialization import serialize  # noqa: PLC0415

    try:
        _insist_on_required(struct)
        return str(serialize(struct, TJSONProtocolFactory()), "utf-8")
    except TException as error:
        raise UnfitError(error.message) from error
    except LookupError:
        raise UnfitError("a field has the name of no member of its enum") from None
    except ValueError as error:
        raise UnfitError(str(error)) from error


def read_by_thrift(cls: type, document: Any) -> Any:
    """Return the struct of class `cls` that thrift itself reads from decoded Thrift JSON.

    Raises:
        ValueError: thrift refuses the document, or a required field is missing.
    """
    from thrift.protocol.TJSONProtocol import TJSONProtocol  # noqa: PLC0415
    from thrift.Thrift import TException  # noqa: PLC0415
    from thrift.transport.TTransport import TMemoryBuffer  # noqa: PLC0415

    try:
        text = json.dumps(document, separators=(",", ":"))  # thrift reads no spaces
        struct = TJSONProtocol(TMemoryBuffer(text.encode())).readContainerStruct((cls, None))
    except TException as error:
        raise ValueError(error.message) from error
    except (LookupError, TypeError, EOFError, RecursionError) as error:  # its reader trusts the text's shape
        raise ValueError(f"thrift cannot read it: {error}") from error
    _insist_on_required(struct)
    return struct


def _insist_on_required(struct: Any) -> None:
    for name in _read_required(struct.__class__):
        if getattr(struct, name) is None:
            raise ValueError(f"the required field {name} is unset")
