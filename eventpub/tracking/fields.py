"""Patterns of fields -> the fields of an event that match, wherever they stand, replaced in place.

A pattern is the end of a path: `card` is every field of that name, at any depth and within lists; `user.email`
is an `email` in a `user`; `*` stands for one name, or for a part of one: `*.password`, `*_token`. Paths begin
at the event, so `data.card` is a `card` at the top of an event's data.

Values that will be written as objects are searched as objects: dataclasses, pydantic models, named tuples,
proxies. A value that cannot be searched is replaced as a whole, so nothing that matches gets past.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from types import NoneType
from typing import Any

from eventpub.pipeline import text_of
from eventpub.serialization.substitutes import substitute
from eventpub.serialization.thrift_spec import field_names, is_struct_class
from eventpub.serialization.unwritable import UnfitError, mark_type, type_name

from .errors import FilterError

Replace = Callable[[Any], Any]
Path = tuple[Any, ...]  # the keys around a field, the nearest first

_FAST_DEPTH = 3  # dicts within dicts that are searched before it is asked whether they hold themselves
_MAX_DEPTH = 100
_PLAIN = frozenset({
    NoneType, bool, int, float, complex, str, bytes,
    dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone, decimal.Decimal, uuid.UUID,
})  # fmt: skip
_OWN = {"name", "timestamp"}  # of an event, not of what it is about


class FieldReplacer:
    """Replaces the fields that match patterns.

    Args:
        patterns: at least one.
        replace: called with the value of each field that matches; it returns what stands there instead.

    Raises:
        FilterError: (a ValueError) there is no pattern, or one is not text, or has an empty part.
    """

    def __init__(self, patterns: tuple[str, ...], replace: Replace) -> None:
        if not patterns:
            raise FilterError("fields", "()", "name no field")
        for pattern in patterns:
            if not isinstance(pattern, str) or not all(pattern.split(".")):
                raise FilterError("fields", repr(pattern), 'is not a pattern; write "card" or "*.password"')
        self._replace = replace
        self._patterns = [tuple(reversed(pattern.split("."))) for pattern in patterns]
        self._exact = [(last, tuple(parents)) for last, *parents in self._patterns]
        self._last_names = {last for last, _ in self._exact}
        self._search_dict = None if any(map(_is_wild, self._last_names)) else self._make_search()

    def __call__(self, event: Any) -> Any:
        """Return the event, or what stands in its place if it could not be changed.

        Args:
            event: a mapping, an `Event`, a Thrift struct, anything with attributes, or a list of these.
        """
        if event.__class__ is not dict:
            return self._replace_in_other(event)
        search_dict = self._search_dict
        for key, value in event.items():
            if value.__class__ is dict and search_dict and key not in self._last_names:
                search_dict(value, (key,), _FAST_DEPTH)
            elif key not in _OWN:
                event[key] = self._replace_item(key, value, (), ())
        return event

    def _replace_in_other(self, event: Any) -> Any:
        if isinstance(event, list):
            return [self(item) for item in event]
        if isinstance(event, Mapping):
            return self(dict(event))
        if is_struct_class(event.__class__):
            return self._search_struct(event, (), (id(event),))
        for holder in (getattr(event, "_data", None), getattr(event, "__dict__", None)):
            if holder.__class__ is dict:
                self(holder)
        return event

    def _make_search(self) -> Callable[[dict[Any, Any], Path, int], None]:
        """Return what replaces the matches in a dict: the common case, as fast as can be."""
        plain, replace, replace_item = _PLAIN, self._replace, self._replace_item
        anywhere = [last for last, parents in self._exact if parents in ((), ("*",))]
        dotted = [(last, parents) for last, parents in self._exact if last not in anywhere]
        written = [".".join(reversed(names)) for names in self._patterns]
        anywhere += [text for text in written if "." in text and not _is_wild(text)]  # of a key with dots

        def search_dict(items: dict[Any, Any], path: Path, depth: int) -> None:
            for last in anywhere:
                if last in items:
                    items[last] = replace(items[last])
            for last, parents in dotted:
                if last in items and _are_around(parents, path):
                    items[last] = replace(items[last])
            for key, value in items.items():
                if value.__class__ in plain and key.__class__ is str:
                    continue
                if value.__class__ is dict and depth:
                    search_dict(value, (key, *path) if dotted else path, depth - 1)
                else:
                    items[key] = replace_item(key, value, path, ())

        return search_dict

    def _replace_item(self, key: Any, value: Any, path: Path, around: tuple[int, ...]) -> Any:
        within = (key, *path)
        for pattern in self._patterns:
            if _are_around(pattern, within):
                return self._replace(value)
        return self._search_value(value, within, around)

    def _search_value(self, value: Any, path: Path, around: tuple[int, ...]) -> Any:
        """Return a value with what matches in it replaced; `around` are the ids of what it stands in."""
        try:
            if value.__class__ in _PLAIN or id(value) in around:  # what holds itself is being searched
                return value
            if len(around) >= _MAX_DEPTH:
                return mark_type(type_name(value))
            return self._search_container(value, path, (*around, id(value)))
        except UnfitError:
            return value  # it will not be written as an object
        except Exception:  # noqa: BLE001, third-party code; what cannot be searched does not pass
            return mark_type(type_name(value))

    def _search_container(self, value: Any, path: Path, around: tuple[int, ...]) -> Any:
        kind = type(value)
        if kind is dict:
            for key, item in value.items():
                value[key] = self._replace_item(key, item, path, around)
        elif kind is list:
            value[:] = [self._search_value(item, path, around) for item in value]
        elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
            named = zip(kind._fields, value, strict=True)
            return [self._replace_item(name, item, path, around) for name, item in named]
        elif is_struct_class(value.__class__):
            return self._search_struct(value, path, around)
        elif not issubclass(kind, (str, int, float)):
            plain = _make_plain(value)
            return self._search_value(plain, path, around) if plain.__class__ in (dict, list) else value
        return value

    def _search_struct(self, struct: Any, path: Path, around: tuple[int, ...]) -> Any:
        for name in field_names(struct):
            value = getattr(struct, name, None)
            if value is None:
                continue
            if value.__class__ is dict:
                value = {key: self._replace_in_map(key, item, (name, *path)) for key, item in value.items()}
            found = self._replace_item(name, value, path, around)
            fits = found.__class__ is value.__class__ or not isinstance(found, str)
            object.__setattr__(struct, name, found if fits else None)  # it may be frozen
        return struct

    def _replace_in_map(self, key: Any, value: Any, path: Path) -> Any:
        """Look into what `to_v2_event` makes of data without a field: keys with dots, texts of JSON."""
        *names, last = _name_key(key).split(".")
        around = (*reversed(names), *path)
        if isinstance(value, str) and value[:1] in ("{", "["):
            with suppress(ValueError, RecursionError):
                plain = json.loads(value)
                before = json.dumps(plain)
                found = self._replace_item(last, plain, around, ())
                if isinstance(found, str):
                    return found
                return value if json.dumps(found) == before else json.dumps(found, ensure_ascii=False)
        return self._replace_item(last, value, around, ())


def _is_wild(name: str) -> bool:
    return not {"*", "?", "["}.isdisjoint(name)


def _are_around(names: tuple[str, ...], path: Path) -> bool:
    """Tell whether a path begins with names, both with the nearest to the field."""
    if len(names) > len(path):
        return False
    for name, key in zip(names, path):  # noqa: B905, the path may be longer
        if name not in ("*", key) and not fnmatchcase(_name_key(key), name):
            return False
    return True


def _name_key(key: Any) -> str:
    """Return a key as it will be written."""
    try:
        return text_of(key if isinstance(key, (str, int, float, NoneType)) else substitute(key))
    except Exception:  # noqa: BLE001, third-party code, and is written as a marker then
        return mark_type(type_name(key))


def _make_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value.items())
    return list(value) if isinstance(value, (list, tuple)) else substitute(value)
