"""Handlers' configurations <-> one text for a variable of the environment: `name=value|name=value|name`.

A value may contain `=`; an empty value is left out with its `=`. Neither may contain `|`, or NUL, which an
environment variable cannot hold, and a name may not contain `=`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.errors import HandlerError

if TYPE_CHECKING:
    from collections.abc import Mapping

_BETWEEN = "|"


def encode_handlers(configurations: Mapping[str, str]) -> str:
    """Return the text that lists handlers.

    Args:
        configurations: by name, in the order of the handlers.

    Raises:
        HandlerError: a name or a value cannot be written.
    """
    parts = []
    for name, value in configurations.items():
        if not name or name != name.strip() or {"=", _BETWEEN, "\0"} & set(name):
            raise HandlerError(name, "its name cannot be written to a variable; use one without = and |")
        if {_BETWEEN, "\0"} & set(value):
            reason = "its encode_config returned a text with | (or NUL) in it; escape it there"
            raise HandlerError(name, reason)
        parts.append(f"{name}={value}" if value else name)
    return _BETWEEN.join(parts)


def decode_handlers(text: str) -> dict[str, str]:
    """Return `{name: configuration}` for the handlers that a text lists; blank parts are skipped.

    Raises:
        HandlerError: a name is missing, or appears twice.
    """
    configurations: dict[str, str] = {}
    for part in text.split(_BETWEEN):
        name, _, value = part.partition("=")
        name = name.strip()
        if not part.strip():
            continue
        if not name:
            raise HandlerError(name, "its name is missing; write name=value|name=value|name")
        if name in configurations:
            raise HandlerError(name, "appears twice in the variable; keep one")
        configurations[name] = value
    return configurations
