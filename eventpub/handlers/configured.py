"""Handlers whose arguments are the fields of a dataclass: checked when created, written as one line of text.

The text is `FIRST?key=value&key=value`: the value of the first field, then the fields that differ from their
defaults, percent-encoded: `mail.example.com?sender=ci@example.com&recipients=a@example.com,b@example.com`.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from eventpub.errors import HandlerError
from eventpub.settings.did_you_mean import did_you_mean

from .former import translate_text
from .handler import EventHandler

if TYPE_CHECKING:
    from eventpub.settings import ini

_PLAIN = "/:,@+ ="  # besides letters, digits and _.-~; an = in a value cannot start another key


@dataclasses.dataclass(frozen=True)
class ConfiguredHandler(EventHandler):
    """A handler whose fields are declared by `eventpub.settings.ini.setting`, each named like its key.

    Fields can be passed as values or as text; paths become absolute. None means unset, where it is the default.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                object.__setattr__(self, field.name, self._parsed(field, value))
        self.check()

    def check(self) -> None:
        """Raise HandlerError for fields that contradict each other; accepts all by default."""

    @classmethod
    def decode_config(cls, config_str: str) -> dict[str, Any]:
        """Return the fields that a text sets, as text; the texts of e3-core are understood too.

        Raises:
            HandlerError: the text is malformed, or names a field twice or an unknown one.
        """
        if (former := translate_text(cls.__name__, config_str)) is not None:
            return former
        fields = dataclasses.fields(cls)
        first, _, query = config_str.partition("?")
        given = {fields[0].name: _unquote_text(first)} if first else {}
        for pair in filter(None, query.split("&")):
            key, is_pair, value = pair.partition("=")
            if not is_pair or key in given:
                raise HandlerError(cls.__name__, f"{pair!r}: expected key=value, and each key once")
            if key not in {field.name for field in fields}:
                known = [field.name for field in fields]
                hint = did_you_mean(key, known)
                raise HandlerError(cls.__name__, f"unknown setting {key!r}{hint} (known: {', '.join(known)})")
            given[key] = _unquote_text(value)
        missing = [field.name for field in fields if field.name not in given and _is_required(field)]
        if missing:
            raise HandlerError(cls.__name__, f"{missing[0]} is missing")
        return given

    def encode_config(self) -> str:
        """Return the fields that differ from their defaults."""
        first, *others = dataclasses.fields(self)
        pairs = [
            f"{field.name}={_quote_text(getattr(self, field.name))}"
            for field in others
            if getattr(self, field.name) != field.default
        ]
        value = getattr(self, first.name)
        start = "" if value == first.default else _quote_text(value)
        return "?".join([start, "&".join(pairs)] if pairs else [start])

    def _parsed(self, field: dataclasses.Field[Any], value: Any) -> Any:
        kind: ini.Kind[Any] = field.metadata["kind"]
        try:
            parsed = kind.parse(_write_value(value))
        except ValueError:
            reason = f"{field.name} is {_write_value(value)!r}: expected {kind.allowed}"
            raise HandlerError(type(self).__name__, reason) from None
        # another process that reads this may run in another folder
        return parsed.absolute() if isinstance(parsed, Path) else parsed


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _quote_text(value: Any) -> str:
    return quote(_write_value(value), safe=_PLAIN, errors="surrogateescape")  # as in the names of files


def _unquote_text(text: str) -> str:
    return unquote(text, errors="surrogateescape")


def _write_value(value: Any) -> str:
    """Return a value as it is written in a configuration."""
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, (list, tuple)):
        return ",".join(map(_write_value, value))
    if isinstance(value, bytes):  # of a path
        return os.fsdecode(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
