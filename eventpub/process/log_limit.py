"""Log lines that may come a thousand times a second: the first of a kind, then how many were suppressed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .logs import write_line

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

LOG_SECONDS = 5.0  # at most one line of a kind in this time

_NOTHING: Mapping[str, object] = {}


@dataclass(slots=True)
class _Quiet:
    """A kind whose last line was written a moment ago."""

    until: float
    level: int
    lines: int = 0
    events: int = 0
    since: str = field(default_factory=lambda: time.strftime("%H:%M:%S"))  # as the log has it

    def facts(self) -> dict[str, object]:
        if not self.lines:
            return {}
        events = {"events_in_them": self.events} if self.events else {}
        return {"suppressed": self.lines, "since": self.since, **events}


class LogLimit:
    """Writes lines about facts, some of which come again and again.

    It remembers as many kinds as it was told in `LOG_SECONDS`: what others choose belongs into the facts.

    Args:
        logger: where to.
        clock: monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._quiet: dict[tuple[str, tuple[tuple[str, object], ...]], _Quiet] = {}

    def log(
        self,
        level: int,
        sentence: str,
        facts: Mapping[str, object] = _NOTHING,
        *,
        kind: Mapping[str, object] = _NOTHING,
        events: int = 0,
    ) -> None:
        """Write a line, unless one that says the same was written a moment ago.

        Args:
            level: of the line.
            sentence: what happened.
            facts: to whom and how, this time.
            kind: what tells this line from others that say the same; it stands behind the facts.
            events: to how many events; added up while lines are left out.
        """
        now, key = self._clock(), (sentence, tuple(kind.items()))
        quiet = self._quiet.get(key)
        if quiet is not None and now < quiet.until:
            quiet.lines += 1
            quiet.events += events
            return
        self._quiet[key] = _Quiet(now + LOG_SECONDS, level)
        left_out = {} if quiet is None else quiet.facts()
        write_line(self._logger, level, sentence, {**facts, **kind, **left_out})

    def tell_left_out(self, *, at_once: bool = False) -> None:
        """Write how many lines of each kind were left out.

        Args:
            at_once: of all kinds; else of those whose time is over.
        """
        now = self._clock()
        for (sentence, kind), quiet in list(self._quiet.items()):
            if at_once or now >= quiet.until:
                del self._quiet[sentence, kind]
                if quiet.lines:
                    write_line(self._logger, quiet.level, sentence, {**dict(kind), **quiet.facts()})

    def over(self, sentences: Container[str]) -> None:
        """Write how many lines were left out that are true no longer, and forget them."""
        for (sentence, kind), quiet in self._quiet.items():
            if sentence in sentences and quiet.lines:
                facts = {**dict(kind), **quiet.facts()}
                write_line(self._logger, logging.INFO, f"recovered: {sentence}", facts)
                self._quiet[sentence, kind] = _Quiet(quiet.until, quiet.level)
