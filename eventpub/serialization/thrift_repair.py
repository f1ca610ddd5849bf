"""A struct that Thrift JSON cannot write as it is -> its text without what is in the way.

A value that is not of its field's type becomes, where the field is text, the text that JSON has for it, or else
a marker; anywhere else it is left out: the field, the element of a list, the entry of a map. What is left out
or marked is counted. Where values are strict, it is an error instead.

Only structs that the writers have refused come here, so it may take its time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from eventpub.errors import EventSerializationError

from .json_repair import repair_text, repair_value
from .substitutes import substitute_by
from .thrift_spec import Type, is_struct_class, read_fields, write_by_thrift
from .thrift_values import take_items, take_mapping
from .thrift_writers import WRITERS, class_of, writers
from .unwritable import UnfitError, describe_type, free_key, give_up, is_strict, reason_of, step_to

if TYPE_CHECKING:
    from collections.abc import Callable

    Default = Callable[[Any], Any]

_MAX_DEPTH = 64  # structs within structs; thrift's own readers take no more
_PLAIN = {type(None), bool, int, float, str, bytes}  # what Python says of them does not show them
_NONE: Any = object()  # in the place of a value that cannot be written


def repair_struct(struct: Any, error: Exception, default: Default | None) -> str:
    """Return the text of what can be written of a struct.

    Args:
        struct: it.
        error: what its writer raised.
        default: as for `serialize_v2_event`.

    Raises:
        EventSerializationError: it is not a struct, lacks a required field, or can be written by thrift only,
            which refuses it.
        UnwritableValueError: values are strict.
    """
    cls = struct.__class__
    if not is_struct_class(cls):
        reason = "not a Thrift struct; pass one of a generated class, or a mapping to serialize_json_event"
        raise EventSerializationError("event", describe_type(struct), reason) from None
    try:
        return writers[cls](_Repair(default).struct("", cls, struct, ()))
    except EventSerializationError:
        raise
    except Exception:  # noqa: BLE001, anything may be in it
        raise EventSerializationError("event", describe_type(struct), _explain(struct, error)) from None


class _Repair(NamedTuple):
    default: Default | None

    def struct(self, path: str, cls: Any, struct: Any, around: tuple[int, ...]) -> Any:
        """Return a struct like it, with values that can be written; `around` are the ids of those around it."""
        cls = class_of(cls, struct)
        if id(struct) in around:
            raise UnfitError("it holds itself; leave that out")
        if len(around) >= _MAX_DEPTH:
            raise UnfitError(f"it is nested more than {_MAX_DEPTH} deep; leave it out")
        if not read_fields(cls):
            write_by_thrift(struct)
            return struct
        repaired = cls.__new__(cls)
        for field in read_fields(cls):
            here = step_to(path, field.name)
            value = getattr(struct, field.name, None)
            if value is not None:
                value = self.value(here, field.type, value, (*around, id(struct)))
            value = None if value is _NONE else value
            if field.is_required and value is None:
                raise EventSerializationError(here, "None", "the field is required")
            object.__setattr__(repaired, field.name, value)  # it may be frozen
        return repaired

    def value(self, path: str, kind: Type, value: Any, around: tuple[int, ...]) -> Any:
        """Return a value as its type has it, or `_NONE`."""
        try:
            return self._as_kind(path, kind, value, around)
        except EventSerializationError as error:
            if is_strict():
                raise
            give_up(path, value, f"{error.field}: {error.reason}")
            return _NONE
        except Exception as error:  # noqa: BLE001, third-party code
            refusal = error
        if not is_strict():
            try:
                found = substitute_by(self.default, value)
                if found is not value:
                    return self._as_kind(path, kind, found, around)
            except Exception:  # noqa: BLE001, S110, likewise; what was wrong at first is what counts
                pass
        marker = give_up(path, value, _explain(value, refusal))
        return marker if kind.leaf == "text" else _NONE

    def _as_kind(self, path: str, kind: Type, value: Any, around: tuple[int, ...]) -> Any:
        if kind.struct:
            return self.struct(path, kind.struct, value, around)
        if kind.key:
            return self._map(path, kind, take_mapping(value), around)
        if kind.element:
            items = enumerate(list(take_items(value)))
            found = [self.value(f"{path}[{index}]", kind.element, item, around) for index, item in items]
            return [item for item in found if item is not _NONE]
        if kind.leaf == "text":
            return self._text(path, value)
        WRITERS[kind.leaf](value)
        return value

    def _map(self, path: str, kind: Type, items: Any, around: tuple[int, ...]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, item in list(items.items()):
            name = self.value(f"a key of {path}", kind.key, key, around)
            value = self.value(step_to(path, key), kind.element, item, around)
            if name is not _NONE and value is not _NONE:
                found[name if name is key else free_key(name, found)] = value
        return found

    def _text(self, path: str, value: Any) -> str:
        if issubclass(type(value), str):
            return repair_text(path, value)
        if value is None or is_strict():
            raise UnfitError("expected text (str)")
        if not issubclass(type(value), (int, float, dict, list, tuple)):
            value = substitute_by(self.default, value)
        if issubclass(type(value), str):
            return repair_text(path, value)
        return json.dumps(repair_value(path, value, self.default), ensure_ascii=False, separators=(",", ":"))


def _explain(value: Any, error: Exception) -> str:
    """Return what an error says, if it is Python's or ours; other errors may show the value."""
    if isinstance(error, UnfitError) or type(value) in _PLAIN:
        return str(error)
    return reason_of(error)
