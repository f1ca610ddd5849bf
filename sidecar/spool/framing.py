"""Whether a message is one JSON object; any other message could corrupt its batch."""

from __future__ import annotations

import re

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


def is_one_object(event: bytes) -> bool:
    """Return whether `event` is one JSON object without anything around it, judging by strings and brackets.

    Anything else could end its container early or reach into a neighbour: `{"a":1},{"b":2}` or `{"a":"`.
    Invalid JSON within such brackets harms no other event: the collector's answer finds it.
    """
    if not event.startswith(b"{") or not event.endswith((b"}", b"]")):
        return False
    if b"\\" in event:
        outside = _STRING.sub(b"", event)
        closed = b'"' not in outside
    else:  # strings are what stands between each odd quote and the next; a quarter of the time
        pieces = event.split(b'"')
        outside = b"".join(pieces[::2])
        closed = len(pieces) % 2 == 1
    if not closed:
        return False
    brackets = outside.translate(None, _NO_BRACKETS)
    depth = 0
    for index, bracket in enumerate(brackets, 1):
        depth += 1 if bracket in b"{[" else -1
        if depth == 0:
            return index == len(brackets)
    return False
