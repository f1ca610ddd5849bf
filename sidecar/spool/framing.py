"""Whether a message is one JSON object: what is not could spoil its neighbours in a container."""

from __future__ import annotations

import re

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


def is_one_object(event: bytes) -> bool:
    """Tell whether `event` is one JSON object and nothing around it, as far as strings and brackets tell.

    What is not could end its container early or reach into a neighbour: `{"a":1},{"b":2}` or `{"a":"`. What
    is, but is no valid JSON, harms nobody else: the collector's answer finds it.
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
