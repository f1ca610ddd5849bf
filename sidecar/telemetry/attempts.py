"""How the attempts at the collector went: counted, timed, and the last of each kind remembered."""

from __future__ import annotations

import time
from collections import Counter
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from eventpub.process.histogram import ATTEMPT_SECONDS, LAG_SECONDS, Histogram

from .verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

_HALF_A_SECOND = 0.5  # a Date says whole seconds, the fraction cut off


class Failure(NamedTuple):
    """An attempt whose batch was not accepted.

    Attributes:
        at: when, in monotonic seconds.
        verdict: what became of the batch.
        status: the HTTP status; None without an answer.
        kind: why there was none.
        words: what the collector said, or what went wrong.
        is_collectors: whether it is the collector that fails, and not this batch alone.
    """

    at: float
    verdict: Verdict
    status: int | None
    kind: str
    words: str
    is_collectors: bool


class Attempts:
    """What is known of the attempts of this process.

    Args:
        clock: monotonic seconds.

    Attributes:
        counts: how many ended so, by verdict and by status or kind.
        seconds: how long they took.
        lag_seconds: from an event's own time to its acceptance, for the first event of each batch.
        store_seconds: from the queue into the collector's store, for the first event of each batch.
        last_success_at: when a batch was last accepted.
        failing_since: when the failures began that no success has ended.
        last_failure: the last of them, or of those before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[tuple[Verdict, str]] = Counter()
        self.seconds = Histogram(ATTEMPT_SECONDS)
        self.lag_seconds = Histogram(LAG_SECONDS)
        self.store_seconds = Histogram(LAG_SECONDS)
        self.last_success_at: float | None = None
        self.failing_since: float | None = None
        self.last_failure: Failure | None = None
        self._clock = clock
        self._date = ""
        self._date_seen_at = 0.0

    def accepted(self, status: int | None) -> None:
        """Count an attempt that the collector accepted."""
        self.counts[Verdict.ACCEPTED, str(status)] += 1
        self.last_success_at = self._clock()
        self.failing_since = None

    def arrived(self, received_at: float, event_at: float | None) -> None:
        """Time a batch that was accepted: when its first event was received, and when that says it happened."""
        now = time.time()
        self.store_seconds.observe(max(0.0, now - received_at))
        if event_at:
            self.lag_seconds.observe(max(0.0, now - event_at))

    def failed(self, verdict: Verdict, status: int | None, kind: str, words: str, *, is_failing: bool) -> None:
        """Count any other."""
        now = self._clock()
        self.counts[verdict, kind if status is None else str(status)] += 1
        if verdict.is_outage:
            self.last_failure = Failure(now, verdict, status, kind, words, is_failing)
            if self.failing_since is None:
                self.failing_since = now

    def dated(self, date: str) -> None:
        """Note the `Date` of an answer that has just come."""
        self._date, self._date_seen_at = date, time.time()

    def clock_offset_seconds(self) -> float | None:
        """Return how far the collector's clock is ahead of this host's; None where no answer has said."""
        try:
            return parsedate_to_datetime(self._date).timestamp() + _HALF_A_SECOND - self._date_seen_at
        except (ValueError, TypeError, OverflowError, IndexError):  # what email.utils raises over garbage
            return None
