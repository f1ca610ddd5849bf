"""`--where FIELD=VALUE`: which events to show."""

from __future__ import annotations

import argparse
import json
from typing import Any, NamedTuple


class FieldCondition(NamedTuple):
    """A field, nested by dots, that must have a value."""

    field: str
    value: str

    def is_met(self, event: Any) -> bool:
        """Tell whether an event has the value there: a text as it is, anything else as JSON writes it."""
        return any(self.value == (found if isinstance(found, str) else json.dumps(found))
                   for found in _find(event, self.field))  # fmt: skip


def parse_where(text: str) -> FieldCondition:
    """Read FIELD=VALUE, for argparse."""
    field, separator, value = text.partition("=")
    if not (separator and field.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE, such as action=buy or user.id=u1")
    return FieldCondition(field.strip(), value)


def _find(value: Any, path: str) -> list[Any]:
    """Return what stands at a path; a key may hold dots itself, and a number is a place in a list."""
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        if not head.isdecimal() or int(head) >= len(value):
            return []
        return _find(value[int(head)], rest) if rest else [value[int(head)]]
    if not isinstance(value, dict):
        return []
    found = [value[path]] if path in value else []
    for position, character in enumerate(path):
        if character == "." and path[:position] in value:
            found += _find(value[path[:position]], path[position + 1 :])
    return found
