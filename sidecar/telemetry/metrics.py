"""The ledger of one sidecar, its metrics, and its log lines about deliveries; statsd_names.py has all names.

The ledger: every event that came in is delivered, dead, dropped or still spooled, so `received + recovered =
delivered + dead + dropped + spooled` before and after each step of the spool; the difference is the gauge
`unaccounted`. An event that is neither delivered nor dead leaves the ledger only by `dropped`, with a reason of
a closed set.

Nothing is sent when it is counted: `flush`, called once a second, sends what has come together in a few
datagrams, so an event costs nothing and a batch a few additions. statsd may be missing, dead or unknown to the
name server: nothing raises, and what was counted until its address is known is sent then.

Counting takes no lock. Greenlets of one hub do not switch within an addition; a native thread may count too,
as long as nobody else counts the same name.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from eventpub.process.descriptors import explain_error
from eventpub.process.log_limit import LogLimit
from eventpub.process.logs import write_line

from .attempts import Attempts
from .ledger import Ledger
from .losses import Losses
from .progress import Progress
from .reasons import DeadReason, DropReason
from .statsd_client import StatsdClient
from .verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

LOOKUP_SECONDS = 60.0  # statsd's address is looked up again this often: it may have moved, or not been there

_MAX_TIMINGS = 1000  # kept from one flush to the next; a hundred times what a busy sidecar posts in a second

_OUTAGE_FACTS = [verdict.fact for verdict in Verdict if verdict.is_outage]


class Telemetry:
    """Counts what happens and sends it to statsd.

    Args:
        namespace: goes before every metric's name; may be empty.
        endpoint: statsd's (host, port) or the path of its unix socket; None sends nothing.
        clock: monotonic seconds.

    Attributes:
        spooled: events on disk; the caller sets it before `flush` or `ledger`.
        losses: events dead or dropped that no delivered loss report tells of.
        attempts: how those at the collector went.
        progress: what each stage did last.
    """

    def __init__(
        self,
        namespace: str = "",
        endpoint: tuple[str, int] | str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spooled = 0
        self.losses = Losses()
        self.attempts = Attempts(clock)
        self.progress = Progress(clock)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._sent: dict[str, int] = {}
        self._gauges: dict[str, int] = {}
        self._post_ms: deque[float] = deque(maxlen=_MAX_TIMINGS)
        self._prefix = namespace.strip(".") or None
        self._endpoint = endpoint
        self._clock = clock
        self._statsd: StatsdClient | None = None
        self._look_up_at = clock()
        self._limit = LogLimit(logger, clock)
        self._failed_attempts = 0  # since the last batch that was delivered

    # --- the books

    def received(self, events: int, bytes_: int) -> None:
        """Count events that were taken from the queue."""
        self._counts["received"] += events
        self._counts["received.bytes"] += bytes_

    def recovered(self, events: int) -> None:
        """Count events that an earlier process left in the spool."""
        self._counts["recovered"] += events

    def delivered(self, events: int, bytes_: int) -> None:
        """Count events that the collector has."""
        self._counts["sent"] += events
        self._counts["sent.bytes"] += bytes_

    def dead(self, events: int, reason: DeadReason) -> None:
        """Count events that became dead letters."""
        self._count("dead", reason.value, events)
        if reason is not DeadReason.REPORT:
            self.losses.add(f"dead.{reason.value}", events)
        self._left("events became dead letters", events, reason.value)

    def dropped(self, events: int, reason: DropReason) -> None:
        """Count events that are lost."""
        if events:
            self._count("dropped", reason.value, events)
            self.losses.add(f"dropped.{reason.value}", events)
            self._left("events were dropped", events, reason.value)

    def report_dropped(self) -> None:
        """Count a loss report that nobody will get; the next one tells what it told."""
        self._count("dropped", DropReason.REPORT.value, 1)
        self.losses.withdraw()
        self._limit.log(logging.WARNING, "loss report was dropped, the next one tells the same")

    def letters_waiting(self, events: int) -> None:
        """Count events that wait in the spool until there is room for their dead letters."""
        if events:
            self._counts["letters.waiting"] += events
            self._limit.log(
                logging.ERROR,
                "refused events wait in the spool, as there is no room for their dead letters: look at these "
                "(eventpub dead-letters list), then drop some or raise dead_letters.max_size",
                {"events": events},
                events=events,
            )

    def copy_missed(self, path: Path, why: str) -> None:
        """Count a damaged file that could not be copied."""
        self._counts["copies.missed"] += 1
        self._limit.log(logging.ERROR, "no copy of a damaged file was kept", {"file": path, "reason": why})

    def reported(self) -> None:
        """Count a loss report that is in the spool."""
        self._counts["reported"] += 1

    def count(self, name: str) -> int:
        """Return how often what has this name in the table has happened."""
        return self._counts.get(name, 0)

    def by_reason(self, name: str) -> dict[str, int]:
        """Return `dead` or `dropped` by reason."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): number for key, number in self._counts.items() if key.startswith(prefix)
        }

    def ledger(self) -> Ledger:
        """Return the books as they stand."""
        counts = self._counts
        return Ledger(
            received=counts["received"],
            recovered=counts["recovered"],
            delivered=counts["sent"],
            dead=counts["dead"],
            dropped=counts["dropped"],
            spooled=self.spooled,
        )

    # --- attempts and the disk

    def post_finished(self, seconds: float) -> None:
        """Time an attempt, whatever its outcome."""
        self._post_ms.append(seconds * 1000)
        self.attempts.seconds.observe(seconds)

    def answered(
        self,
        verdict: Verdict,
        *,
        batch: str,
        events: int,
        attempt: int,
        status: int | None,
        kind: str,
        reason: str,
        waits: Mapping[str, object] | None = None,
        is_failing: bool = True,
    ) -> None:
        """Count and log the outcome of an attempt.

        Args:
            verdict: what it means.
            batch: the batch's file below spool.dir.
            events: how many it holds.
            attempt: 1 for the first of this process.
            status: the HTTP status; None without an answer.
            kind: the reason for a missing answer, in one word.
            reason: what the collector said, or what went wrong.
            waits: what waits, and until when.
            is_failing: whether it is the collector that fails, and not this batch alone.
        """
        facts: dict[str, object] = {"batch": batch, "events": events, "attempt": attempt}
        if verdict is Verdict.ACCEPTED:
            self.attempts.accepted(status)
            write_line(logger, logging.DEBUG, "batch was delivered", {**facts, "status": status})
            if self._failed_attempts:
                self._limit.over(_OUTAGE_FACTS)
                again = {**facts, "failed_attempts": self._failed_attempts}
                write_line(logger, logging.INFO, "delivery works again", again)
            self._failed_attempts = 0
            return
        self.attempts.failed(verdict, status, kind, reason, is_failing=is_failing)
        self._failed_attempts += verdict.is_outage and is_failing
        if status is None:
            self._count("error.io", kind, 1)
            outcome: dict[str, object] = {"kind": kind}
        else:
            self._count("error.http", str(status), 1)
            outcome = {"status": status}
        # a different failure is logged at once
        self._limit.log(verdict.level, verdict.fact, {**facts, **(waits or {}), "reason": reason}, kind=outcome)

    def disk_error(self, error: OSError) -> None:
        """Count and log a failure of the spool's disk; the batch stays as it was."""
        self._counts["error.disk"] += 1
        self._limit.log(logging.ERROR, "spool could not be read or written", {"error": explain_error(error)})

    def gauge(self, name: str, value: int) -> None:
        """Note a value to be sent by the next `flush`: `queue.depth` or `spool.bytes`."""
        self._gauges[name] = value

    # --- statsd

    def flush(self) -> None:
        """Send what was counted since the last time; call it once a second.

        Only a lookup of statsd's name can wait, and only here: at most once in `LOOKUP_SECONDS`.
        """
        self._limit.tell_left_out()
        ledger = self.ledger()
        if ledger.unaccounted:
            self._limit.log(logging.ERROR, "events are unaccounted for", ledger.facts())
        client = self._client()
        if client is None:
            return
        totals, self._sent = self._sent, dict(self._counts)
        with client.pipeline() as pipe:
            for name, total in self._sent.items():
                if delta := total - totals.get(name, 0):
                    pipe.incr(name, delta)
            while self._post_ms:
                pipe.timing("post", self._post_ms.popleft())
            for name, value in self._gauges.items():
                pipe.gauge(name, value)
            pipe.gauge("spooled", ledger.spooled)
            pipe.gauge("unaccounted", ledger.unaccounted)

    def close(self) -> None:
        """Send what is left, close the socket, and log what was left out."""
        self.flush()
        self._limit.tell_left_out(at_once=True)
        if self._statsd is not None:
            self._statsd.close()
        self._statsd = self._endpoint = None

    def _client(self) -> StatsdClient | None:
        if self._endpoint is not None and self._clock() >= self._look_up_at:
            self._look_up_at = self._clock() + LOOKUP_SECONDS
            try:
                client = StatsdClient(self._endpoint, self._prefix)
            except OSError as error:
                self._limit.log(
                    logging.WARNING, "statsd could not be looked up", {"error": explain_error(error)}
                )
            else:
                if self._statsd is not None:
                    self._statsd.close()
                self._statsd = client
        return self._statsd

    def _left(self, fact: str, events: int, reason: str) -> None:
        self._limit.log(logging.ERROR, fact, {"events": events}, kind={"reason": reason}, events=events)

    def _count(self, name: str, detail: str, number: int) -> None:
        self._counts[name] += number
        self._counts[f"{name}.{detail}"] += number
