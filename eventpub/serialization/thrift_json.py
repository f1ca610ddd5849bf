r"""Thrift struct -> Thrift JSON, byte for byte what thrift's own `TJSONProtocol` writes.

| Thrift                    | JSON                                                                           |
|---------------------------|--------------------------------------------------------------------------------|
| struct, union, exception  | `{"ID":{"TYPE":VALUE},…}` in the order of `thrift_spec`, unset fields left out |
| list, set                 | `["TYPE",N,VALUE,…]`                                                           |
| map                       | `["KEY TYPE","VALUE TYPE",N,{KEY:VALUE,…}]`, numbers as keys quoted            |
| bool                      | `1` for True itself, `0` for anything else but None                            |
| i8, i16, i32, i64, double | a number; a double with 17 significant digits, `nan` and `inf` bare            |
| string                    | UTF-8; `"` `\` \b \f \n \r \t escaped, other control characters as they are    |
| binary, uuid              | a string: base64, and the 36 usual characters                                  |

A float in an integer field is written as it is: baseplate's documentation sends `time.time() * 1000` as an
i64. What thrift would write as invalid JSON, or cannot write at all, is refused.

`TJSONProtocol` decides on types, commas and quotes again for every value. Here a struct class is compiled, at
its first use, to one function in which all of that is constant text. These functions are kept as long as the
process lives; nothing else is.
"""

from __future__ import annotations

import itertools
import re
import reprlib
from collections.abc import Callable
from functools import partial
from json.encoder import encode_basestring
from typing import Any

from eventpub.errors import EventSerializationError

from .thrift_spec import INTEGER_BITS, Field, Type, is_struct_class, read_fields, write_by_thrift
from .thrift_values import NUMBERS, take_items, take_mapping, uuid_text, write_base64

Writer = Callable[[Any], str]

_UNWRITABLE = (TypeError, ValueError, AttributeError, OverflowError)  # what a value of a wrong type provokes
_ESCAPE = re.compile(r"\\(?:u00([0-9a-f]{2})|.)")

_writers: dict[type, Writer] = {}


def serialize_v2_event(struct: Any) -> bytes:
    """Serialize a Thrift struct, such as `eventpub.schemas.event.ttypes.Event`, as Thrift JSON.

    Raises:
        EventSerializationError: a value is not of its field's type, a required field is unset, or `struct` is
            none.
    """
    cls = struct.__class__
    try:
        text = (_writers.get(cls) or _compile_class(cls))(struct)
        if "\\" in text and "\\u00" in text:  # encode_basestring escapes control characters, thrift does not
            text = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else escape[0], text)
        return text.encode()
    except (*_UNWRITABLE, RecursionError) as error:
        raise _explain_error(struct, error) from error


def show_value(value: object) -> str:
    """Return a repr for an error message: of at most 200 characters, and never failing."""
    try:
        return reprlib.repr(value)[:200]
    except ValueError:  # an int of more digits than Python prints
        return f"<{type(value).__name__}>"


# --- compiling a struct class ----------------------------------------------------------------------------

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
    _writers.update(made)  # only now: another thread must not meet a writer whose nested writers are missing
    return made[cls]


def _make_writer(cls: Any, made: dict[type, Writer]) -> Writer:
    if cls in made:
        return made[cls]
    if not read_fields(cls):
        made[cls] = partial(_write_by_thrift, cls)
        return made[cls]
    source = _Source()
    names = {**_HELPERS, "cls": cls}
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


def _class_of(cls: type, value: Any) -> type:
    """Return the class of a value that stands in for a `cls`: a subclass, or another generated copy of it."""
    found: type = value.__class__
    if not is_struct_class(found) or not (isinstance(value, cls) or found.__name__ == cls.__name__):
        raise TypeError(f"expected a {cls.__name__} struct")
    return found


def _write_other(cls: type, value: Any) -> str:
    found = _class_of(cls, value)
    return (_writers.get(found) or _compile_class(found))(value)


def _write_by_thrift(cls: type, struct: Any) -> str:
    _class_of(cls, struct)
    return write_by_thrift(struct)


_HELPERS: dict[str, Any] = {
    **NUMBERS,
    "text": encode_basestring,
    "base64": write_base64,
    "uid": uuid_text,
    "items": take_items,
    "mapping": take_mapping,
    "other": _write_other,
}


# --- saying what is wrong with an event ------------------------------------------------------------------


def _explain_error(struct: Any, error: Exception) -> EventSerializationError:
    """Return the error that names the first field that cannot be written."""
    cls = struct.__class__
    if not is_struct_class(cls):
        reason = "no Thrift struct; give an instance of a generated class, or a mapping to serialize_json_event"
        return EventSerializationError("event", show_value(struct), reason)
    try:
        _check_value("", Type("rec", struct=cls), struct)
    except RecursionError:
        reason = "nested too deeply; does it hold itself?"
        return EventSerializationError("event", f"a {cls.__name__}", reason)
    except EventSerializationError as found:
        return found
    return EventSerializationError("event", show_value(struct), str(error))


def _check_value(path: str, type_: Type, value: Any) -> None:
    """Raise EventSerializationError for the first part of `value` that cannot be written."""
    try:
        if type_.struct:
            _check_struct(path, type_.struct, value)
        elif type_.key:
            for key, item in take_mapping(value).items():
                _check_value(f"a key of {path}", type_.key, key)
                _check_value(f"{path}[{show_value(key)}]", type_.element, item)
        elif type_.element:
            for index, item in enumerate(take_items(value)):
                _check_value(f"{path}[{index}]", type_.element, item)
        elif type_.leaf == "text":
            if not isinstance(value, str):
                raise TypeError("expected text (str)")
            value.encode()
        else:
            _HELPERS[type_.leaf](value)
    except _UNWRITABLE as error:
        raise EventSerializationError(path or "event", show_value(value), str(error)) from error


def _check_struct(path: str, cls: Any, struct: Any) -> None:
    cls = _class_of(cls, struct)
    if not read_fields(cls):
        write_by_thrift(struct)
    for field in read_fields(cls):
        here = f"{path}.{field.name}" if path else field.name
        value = getattr(struct, field.name)
        if value is not None:
            _check_value(here, field.type, value)
        elif field.is_required:
            raise EventSerializationError(here, "None", "the field is required")
