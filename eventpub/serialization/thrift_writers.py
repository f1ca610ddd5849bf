"""A struct class -> the function that writes its structs as Thrift JSON text; see `thrift_json`.

`TJSONProtocol` decides on types, commas and quotes again for every value. Here a struct class is compiled, at
its first use, to one function in which all of that is constant text. These functions are kept as long as the
process lives; nothing else is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from json.encoder import encode_basestring
from typing import Any

from .thrift_spec import INTEGER_BITS, Field, Type, is_struct_class, read_fields, write_by_thrift
from .thrift_values import NUMBERS, take_items, take_mapping, uuid_text, write_base64
from .unwritable import UnfitError

Writer = Callable[[Any], str]


class _Writers(dict[type, Writer]):
    """The writer of each struct class, made when it is first asked for.

    It returns the text of a struct, with control characters escaped as JSON has it. For a value that is not of
    its field's type it raises any kind of exception.
    """

    def __missing__(self, cls: type) -> Writer:
        return _compile_class(cls)


writers = _Writers()


def class_of(cls: type, value: Any) -> type:
    """Return the class of a value that stands in for a `cls`: a subclass, or another generated copy of it.

    Raises:
        UnfitError: it stands for something else.
    """
    found: type = value.__class__
    if not is_struct_class(found) or not (isinstance(value, cls) or found.__name__ == cls.__name__):
        raise UnfitError(f"expected a {cls.__name__} struct")
    return found


# In the generated source `s` is the struct, `v` a value and `t` the text so far.
_STRUCT_SOURCE = """
def write_struct(s):
    if s.__class__ is not cls: return other(cls, s)
    t = {start}
{body}
    return {end}
"""
_LIST_SOURCE = """
def {function}(v):
    if v.__class__ is not list: v = items(v)
    return '["{type.element.name}",' + ','.join([str(len(v)), *map({element}, v)]) + ']'
"""
_MAP_SOURCE = """
def {function}(v):
    if v.__class__ is not dict: v = mapping(v)
    pairs = ','.join([{key} + ':' + {value}(x) for k, x in v.items()])
    return f'["{type.key.name}","{type.element.name}",{{len(v)}},{{{{{{pairs}}}}}}]'
"""


def _compile_class(cls: type) -> Writer:
    """Make the writers of a struct class and of all classes it can hold."""
    if not is_struct_class(cls):
        raise TypeError  # `_explain` finds the words
    made: dict[type, Writer] = {}
    _make_writer(cls, made)
    writers.update(made)  # only now: another thread must not meet a writer whose nested writers are missing
    return made[cls]


def _make_writer(cls: Any, made: dict[type, Writer]) -> Writer:
    if cls in made:
        return made[cls]
    if not read_fields(cls):
        made[cls] = partial(_write_by_thrift, cls)
        return made[cls]
    source = _Source()
    names = {**WRITERS, "cls": cls}
    code = compile(source.struct(cls), f"<Thrift JSON of {cls.__qualname__}>", "exec")
    exec(code, names)  # noqa: S102, made of the class's own ids, types and attribute names
    made[cls] = names["write_struct"]
    for name, nested in source.nested.items():  # after this class itself: it may hold its own kind
        names[name] = _make_writer(nested, made)
    return made[cls]


class _Source:
    """The source of one struct class's writer; `nested` names the writers it calls for other classes."""

    def __init__(self) -> None:
        self.nested: dict[str, type] = {}
        self._containers: list[str] = []
        self._numbers = itertools.count()

    def struct(self, cls: type) -> str:
        """Return the whole source, whose function `write_struct` is the writer."""
        runs: list[list[str]] = []  # condition and text; required fields in a row share one f-string
        for field in read_fields(cls):
            condition = "" if field.is_required else f"if s.{field.name} is not None: "
            text = f',"{field.number}":{{{{"{field.type.name}":{{{self._value(field)}}}}}}}'
            if runs and not condition and not runs[-1][0]:
                runs[-1][1] += text
            else:
                runs.append([condition, text])
        start, end = "''", "'{' + t[1:] + '}'"
        if not runs[0][0]:  # something is always written, so the first comma can be left out from the start
            start, end = f"f'{{{{{runs.pop(0)[1][1:]}'", "t + '}'"
        body = "\n".join(f"    {condition}t += f'{text}'" for condition, text in runs)
        return _STRUCT_SOURCE.format(start=start, body=body, end=end) + "".join(self._containers)

    def _value(self, field: Field) -> str:
        """Return source for the text of a field's value; the common case of a number takes no call."""
        name, value, function = field.type.name, f"s.{field.name}", self._function(field.type)
        if name in INTEGER_BITS:  # the lowest number of a type has one bit more: it takes the call
            common = f"(v := {value}).__class__ is int and v.bit_length() < {INTEGER_BITS[name]}"
            return f"v if {common} else {function}(v)"
        if name == "dbl":
            return f'f"{{v:.17g}}" if (v := {value}).__class__ is float else {function}(v)'
        if name == "tf":
            return f'"1" if {value} is True else {function}({value})'
        return f"{function}({value})"

    def _function(self, type_: Type) -> str:
        """Return the name of the function that turns a value of a type into its text."""
        function = f"{type_.name}_{next(self._numbers)}"
        if type_.struct:
            self.nested[function] = type_.struct
        elif type_.key:
            key = f"{self._function(type_.key)}(k)"
            if type_.key.name in NUMBERS:
                key = f"""'"' + {key} + '"'"""
            value = self._function(type_.element)
            self._containers.append(_MAP_SOURCE.format(function=function, type=type_, key=key, value=value))
        elif type_.element:
            element = self._function(type_.element)
            self._containers.append(_LIST_SOURCE.format(function=function, type=type_, element=element))
        else:
            return type_.leaf
        return function


# --- what the generated source calls ---------------------------------------------------------------------


def _write_other(cls: type, value: Any) -> str:
    found = class_of(cls, value)
    return writers[found](value)


def _write_by_thrift(cls: type, struct: Any) -> str:
    class_of(cls, struct)
    return write_by_thrift(struct)


WRITERS: dict[str, Any] = {
    **NUMBERS,
    "text": encode_basestring,
    "base64": write_base64,
    "uid": uuid_text,
    "items": take_items,
    "mapping": take_mapping,
    "other": _write_other,
}
