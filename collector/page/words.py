"""Struct class -> what its fields mean, in the words of the schema.

The thrift compiler copies the comments of a schema into the docstrings of its classes. Where there are none,
names and types must do.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from eventpub.serialization.thrift_spec import read_declared

if TYPE_CHECKING:
    from eventpub.serialization.thrift_spec import Type

_ATTRIBUTE = re.compile(r"^ - (\w+)(?:: (.*))?$")
_NAMES = {
    "tf": "bool", "i8": "i8", "dbl": "double", "i16": "i16", "i32": "i32", "i64": "i64", "text": "string",
    "base64": "binary", "uid": "uuid",
}  # fmt: skip
_CONTAINERS = {"lst": "list", "set": "set"}


def describe_class(cls: Any) -> dict[str, Any]:
    """Return the structs that `cls` is made of: their words and their fields, each by its name."""
    structs: dict[str, Any] = {}
    waiting = [cls]
    while waiting:
        struct = waiting.pop()
        if struct.__name__ in structs:
            continue
        doc, words = _read_doc(struct)
        fields = {}
        for field in read_declared(struct):
            inner = _find_struct(field.type)
            if inner is not None:
                waiting.append(inner)
            fields[field.name] = {
                "id": field.number,
                "type": _name_type(field.type),
                "struct": inner and inner.__name__,
                "required": field.is_required,
                "doc": words.get(field.name, ""),
            }
        structs[struct.__name__] = {"doc": doc, "fields": fields}
    return {"root": cls.__name__, "structs": structs}


def _read_doc(cls: type) -> tuple[str, dict[str, str]]:
    """Return a class's own words, and those of its fields; a comment may have several lines."""
    about, _, attributes = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:")
    words: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        found = _ATTRIBUTE.match(line)
        if found:
            name = found[1]
            words[name] = found[2] or ""
        elif name and line.strip():
            words[name] = f"{words[name]} {line.strip()}".strip()
    return " ".join(about.split()), words


def _find_struct(type_: Type | None) -> Any:
    """Return the struct class that values of a type hold, at whatever depth of containers."""
    while type_ is not None and not type_.struct:
        type_ = type_.element
    return type_.struct if type_ else None


def _name_type(type_: Type) -> str:
    if type_.struct:
        return str(type_.struct.__name__)
    if type_.key:
        return f"map<{_name_type(type_.key)}, {_name_type(type_.element)}>"
    if type_.element:
        return f"{_CONTAINERS[type_.name]}<{_name_type(type_.element)}>"
    return _NAMES.get(type_.leaf, type_.name)
