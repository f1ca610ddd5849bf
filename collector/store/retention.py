"""Before which moment events are old, by a time of day that is not believed when it jumps."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_JUMP_SECONDS = 3600.0  # more than a summer time mistaken for UTC, less than any age that is worth keeping


class Retention:
    """How long events are kept.

    Args:
        keep_seconds: 0 keeps them for ever.
        clock: the time of day, in seconds since 1970.
        monotonic: a clock that nobody sets, in seconds.
    """

    def __init__(
        self,
        keep_seconds: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._offset = clock() - monotonic()
        self._is_told = False

    def before(self) -> float | None:
        """Return the moment before which events are removed; None if none are to be removed now.

        Once the time of day has jumped by an hour since the start, nothing is removed until a restart: a clock
        that is a month ahead for a moment would cost a month of events.
        """
        if not self._keep_seconds:
            return None
        now = self._clock()
        jumped_seconds = now - self._monotonic() - self._offset
        if abs(jumped_seconds) > _JUMP_SECONDS:
            if not self._is_told:
                logger.error(
                    "the time of day jumped by %.0f s; store.keep removes nothing: set the clock, and restart",
                    jumped_seconds,
                )
            self._is_told = True
            return None
        return now - self._keep_seconds
