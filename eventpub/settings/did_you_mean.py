"""A mistyped name -> the name that was meant, for errors that list the possible ones."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean NAME?` with the nearest name in `known`; empty if none is near.

    >>> did_you_mean("prot", ["host", "port"])
    '; did you mean port?'
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
