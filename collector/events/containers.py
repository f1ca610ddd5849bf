"""Body -> the JSON texts of its events, still in one piece.

The events of a version 2 container are parsed apart from it: none of them can close it and open another, in
which its neighbours are missing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_CONTAINER_2 = re.compile(
    rb"""\s* \{ \s* "1" \s*:\s* \{ \s* "lst" \s*:\s* \[ \s* "rec" \s*,\s* ([0-9]{1,9}) \s*
        (?: ,(.*) )?
        \] \s* \} \s* \} \s*""",
    re.DOTALL | re.VERBOSE,
)
_OTHER_VERSION = {"2": "2j", "2j": "2"}
_BEGINNINGS = {"2": re.compile(rb'\s*\{\s*"1"\s*:'), "2j": re.compile(rb"\s*\[")}


class Container(NamedTuple):
    """What stands around the events of a body.

    Attributes:
        array: the events as a JSON array.
        announced: how many events a version 2 container says it holds; None where it says nothing.
    """

    array: bytes
    announced: int | None = None


def open_container(version: str, body: bytes) -> Container:
    """Take a body's container off.

    Raises:
        ValueError: it is not a container of that version.
    """
    if version == "2j":
        return Container(body)
    container = _CONTAINER_2.fullmatch(body)
    if container is None:
        raise ValueError('the body is not {"1":{"lst":["rec",N,EVENT,…]}}')
    return Container(b"[%s]" % (container[2] or b""), int(container[1]))


def hint_at_version(version: str, body: bytes) -> str:
    """Return where a body belongs that looks like one of the other version; empty if it does not."""
    other = _OTHER_VERSION[version]
    return f"; it looks like version {other}: POST it to /v{other}" if _BEGINNINGS[other].match(body) else ""
