"""Processors that let a part of the events through: `Sample` a share of them, `RateLimit` so many a second."""

from __future__ import annotations

import logging
import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeVar

from eventpub.pipeline import name_of

from .errors import EventEmissionExit, FilterError

E = TypeVar("E")

logger = logging.getLogger(__name__)

_SAY_SECONDS = 60.0
_NAMES_KNOWN = 10_000
_PLACES = {  # where an event says who it is of
    "request": (
        "context.request.trace_id",
        "context.request.id",
        "context.trace_id",
        "request.trace_id",
        "request.id",
    ),
    "user": ("context.user_id", "context.user.id", "data.user_id", "data.user.id", "user.id", "user_id"),
    "event": (),
}


class Sample:
    """Lets a share of the events of some names through, and ends the others.

    All events of one request, or of one user, are decided alike, in all processes: a request in the share of
    0.1 is also in that of 0.5. An event that is of none is decided by itself.

    Args:
        rates: shares from 0 to 1 by pattern of names, such as `{"page.*": 0.1}`; the first that matches counts,
            and events that none matches pass.
        by: "request", "user", "event" for each by itself, or the path of a value, such as "data.tenant".

    Attributes:
        ended: how many events it has ended in this process.

    Raises:
        FilterError: (a ValueError) a share is wrong.
    """

    def __init__(self, rates: Mapping[str, float], *, by: str = "request") -> None:
        for pattern, rate in rates.items():
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
                raise FilterError(
                    "rates", f"{pattern!r}: {rate!r}", "is not a share; give a number from 0 to 1"
                )
        self.rates = dict(rates)
        self.by = by
        self.ended = 0
        self._places = [place.split(".") for place in _PLACES.get(by, (by,))]
        self._rate_of = _by_name(self.rates, 1.0)

    def __call__(self, event: E) -> E:
        """Return the event, or raise EventEmissionExit."""
        rate = self._rate_of(name_of(event))
        if rate >= 1 or self._draw(event) < rate:
            return event
        self.ended += 1
        raise EventEmissionExit

    def _draw(self, event: Any) -> float:
        """Return a number from 0 to 1, the same for all events of a request or a user."""
        for place in self._places:
            found = _look_up(event, place)
            if found is not None:
                digest = blake2b(str(found).encode("utf-8", "surrogatepass"), digest_size=7).digest()
                return int.from_bytes(digest, "big") / (1 << 56)
        return random.random()  # noqa: S311, no secret

    def __repr__(self) -> str:
        return f"Sample({self.rates!r}, by={self.by!r})"


class RateLimit:
    """Lets so many events a second through of those whose names match, and ends the others.

    It counts in this process. How many were ended is said in the log once a minute, and is in `ended`.

    Args:
        names: patterns such as "search.*"; the events of all of them count together.
        per_second: how many, in any second; 0.5 is one in two seconds.

    Raises:
        FilterError: (a ValueError) a name is missing, or `per_second` is not above 0.
    """

    def __init__(self, *names: str, per_second: float) -> None:
        if not names or not all(isinstance(name, str) and name for name in names):
            raise FilterError("names", repr(names), 'are not patterns of names; write "search.*"')
        if not isinstance(per_second, (int, float)) or not 0 < per_second < math.inf:
            raise FilterError("per_second", repr(per_second), "is not a number of events above 0")
        self.names = names
        self.per_second = per_second
        self._most = max(1, math.floor(per_second))
        self._seconds = self._most / per_second
        self._applies = _by_name(dict.fromkeys(names, True), False)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._passing = threading.Lock()
        self._passed: deque[float] = deque(maxlen=self._most)
        self.ended = 0
        self._say_at = -math.inf

    def __call__(self, event: E) -> E:
        """Return the event, or raise EventEmissionExit."""
        name = name_of(event)
        if not self._applies(name):
            return event
        if self._process != os.getpid():
            self._begin()  # a fork may have copied a lock that is held
        now = time.monotonic()
        with self._passing:
            if len(self._passed) < self._most or now - self._passed[0] >= self._seconds:
                self._passed.append(now)
                return event
            self.ended += 1
            is_said = now < self._say_at
            self._say_at = self._say_at if is_said else now + _SAY_SECONDS
        if not is_said:
            logger.warning("%r has ended %s events so far, the last %r", self, f"{self.ended:,}", name)
        raise EventEmissionExit

    def __repr__(self) -> str:
        return f"RateLimit({', '.join(map(repr, self.names))}, per_second={self.per_second:g})"


def _by_name(values: Mapping[str, Any], otherwise: Any) -> Callable[[str], Any]:
    """Return what finds the value of the first pattern that matches a name."""

    @lru_cache(maxsize=_NAMES_KNOWN)
    def find(name: str) -> Any:
        return next((value for pattern, value in values.items() if fnmatchcase(name, pattern)), otherwise)

    return find


def _look_up(event: Any, place: list[str]) -> Any:
    """Return what stands at a place of an event, or None."""
    found = event
    for name in place:
        try:
            found = found.get(name) if isinstance(found, (dict, Mapping)) else getattr(found, name, None)
        except Exception:  # noqa: BLE001, third-party code
            return None
        if found is None:
            return None
    return found
