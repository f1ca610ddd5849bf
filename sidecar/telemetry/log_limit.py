"""Log lines that may come a thousand times a second: the first of a kind, then how many were suppressed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

LOG_SECONDS = 5.0  # at most one line of a kind in this time


@dataclass(slots=True)
class _Quiet:
    """A kind of which a line was written a moment ago."""

    until: float
    level: int
    lines: int = 0
    events: int = 0
    since: str = field(default_factory=lambda: time.strftime("%H:%M:%S"))  # as the log has it

    def __str__(self) -> str:
        if not self.lines:
            return ""
        events = f" events_in_them={self.events}" if self.events else ""
        return f"suppressed={self.lines} since={self.since}{events}"


class LogLimit:
    """Writes lines about facts, of which some come again and again.

    Args:
        logger: where to.
        clock: monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._quiet: dict[tuple[str, str], _Quiet] = {}

    def log(self, level: int, fact: str, details: str, *, kind: str = "", events: int = 0) -> None:
        """Write a line, unless one about the same fact was written a moment ago.

        Args:
            level: of the line.
            fact: what happened.
            details: to whom and how, this time.
            kind: what tells this fact from others of its sort; it stands behind the details.
            events: to how many events; added up while lines are left out.
        """
        now = self._clock()
        quiet = self._quiet.get((fact, kind))
        if quiet is not None and now < quiet.until:
            quiet.lines += 1
            quiet.events += events
            return
        self._quiet[fact, kind] = _Quiet(now + LOG_SECONDS, level)
        self._write(level, fact, details, kind, str(quiet or ""))

    def tell_left_out(self, *, at_once: bool = False) -> None:
        """Write how many lines of each kind were left out.

        Args:
            at_once: of all kinds; else of those whose time is over.
        """
        now = self._clock()
        for (fact, kind), quiet in list(self._quiet.items()):
            if at_once or now >= quiet.until:
                del self._quiet[fact, kind]
                if quiet.lines:
                    self._write(quiet.level, fact, kind, str(quiet))

    def over(self, facts: Container[str]) -> None:
        """Write how many lines were left out about facts that are true no longer, and forget them."""
        for (fact, kind), quiet in self._quiet.items():
            if fact in facts and quiet.lines:
                self._write(logging.INFO, "recovered:", fact, kind, str(quiet))
                self._quiet[fact, kind] = _Quiet(quiet.until, quiet.level)

    def _write(self, level: int, *words: str) -> None:
        self._logger.log(level, "%s", " ".join(word for word in words if word))
