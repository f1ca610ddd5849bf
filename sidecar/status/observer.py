"""Fills the status record from what the stages noted; waits for no disk and for nobody."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from eventpub import __version__
from eventpub.printable import escape_controls, hide_userinfo
from eventpub.sidecar.native import describe_loops
from eventpub.sidecar.spool.folder import DEAD
from eventpub.sidecar.telemetry.progress import HUNG_SECONDS

from .record import (
    DeliveryPart,
    HolderPart,
    LedgerPart,
    LettersPart,
    ProcessPart,
    QueuePart,
    RefusalPart,
    SpoolPart,
    StagePart,
    StatusRecord,
)
from .slow_facts import SlowFacts
from .troubles import find_troubles, is_refusal

if TYPE_CHECKING:
    from pathlib import Path

    from eventpub.process.progress import Stage
    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.delivery.sender import Sender
    from eventpub.sidecar.receive.receiver import Receiver
    from eventpub.sidecar.spool.spool import Spool
    from eventpub.sidecar.telemetry.attempts import Failure
    from eventpub.sidecar.telemetry.metrics import Telemetry


class Observer:
    """Looks at the stages of one sidecar.

    Args:
        queue_name: NAME of the queue.
        config_path: the file of the settings.
        spool: what is on disk.
        receiver: the stage that takes messages.
        sender: the stage that delivers.
        telemetry: the books, and what was noted.

    Attributes:
        config: the settings; replace it after a reload.
        listens: where `status.listen` answers.
        phase: `running`, or `stopping` once a signal said so.
    """

    def __init__(
        self,
        config: SidecarConfig,
        *,
        queue_name: str,
        config_path: Path,
        spool: Spool,
        receiver: Receiver,
        sender: Sender,
        telemetry: Telemetry,
    ) -> None:
        self.config = config
        self.listens = ""
        self.phase = "running"
        self._queue_name = queue_name
        self._config_path = config_path
        self._spool = spool
        self._receiver = receiver
        self._sender = sender
        self._telemetry = telemetry
        self._slow = SlowFacts(queue_name, spool.directory.parent / DEAD)
        self._started_at = time.time()
        self._loops = describe_loops()

    @property
    def hung_seconds(self) -> float:
        """How long a step may take before it is told as hung: earlier than the watchdog acts."""
        limit_seconds = self.config.watchdog_timeout_seconds
        return min(HUNG_SECONDS, limit_seconds / 2) if limit_seconds else HUNG_SECONDS

    def record(self, *, with_slow_facts: bool = True) -> StatusRecord:
        """Return the status as it is now.

        Args:
            with_slow_facts: whether to look at the dead letters and the processes that have the queue open too,
                which may take half a second.
        """
        now, shift = time.time(), time.time() - time.monotonic()
        slow = self._slow.look() if with_slow_facts else self._slow.known
        state, why, since = self._find_state(shift)
        record = StatusRecord(
            taken_at=now,
            state=state,
            why=why,
            since=since,
            process=self._process(),
            queue=self._queue(slow.holders),
            stages=tuple(_describe_stage(stage) for stage in self._telemetry.progress.stages),
            ledger=self._ledger(),
            spool=self._spool_part(),
            dead_letters=LettersPart(
                count=slow.letters,
                size_bytes=slow.letters_bytes,
                limit_bytes=self.config.dead_letters_max_size_bytes,
                counted_at=slow.at,
            ),
            delivery=self._delivery(shift),
        )
        found = find_troubles(
            record, overdue_seconds=self.config.status_overdue_seconds, hung_seconds=self.hung_seconds
        )
        return replace(record, troubles=tuple(found))

    def close(self) -> None:
        """Look no more."""
        self._slow.close()

    def _find_state(self, shift: float) -> tuple[str, str, float | None]:
        if self.phase != "running":
            return self.phase, "", None
        if pause := self._receiver.pause:
            return "paused", _clean(pause.why), pause.since + shift
        attempts = self._telemetry.attempts
        last, since = attempts.last_failure, attempts.failing_since
        if last and since is not None and is_refusal(last.verdict.name.lower()) and last.is_collectors:
            answer = f"the collector said {last.status}" if last.status is not None else last.kind
            return "refused", _clean(f"{last.verdict.advice} ({answer}: {last.words})"), since + shift
        return "running", "", self._started_at

    def _process(self) -> ProcessPart:
        return ProcessPart(
            pid=os.getpid(),
            eventpub=__version__,
            loops=self._loops,
            slot=int(self._spool.directory.name),
            directory=str(self._spool.directory),
            config_path=str(self._config_path),
            started_at=self._started_at,
            listens=self.listens,
        )

    def _queue(self, holders: tuple[HolderPart, ...]) -> QueuePart:
        queue = self._receiver.queue
        return QueuePart(
            name=self._queue_name,
            depth_messages=queue.depth() if queue.fd >= 0 else None,
            capacity_messages=queue.max_messages,
            message_size_bytes=queue.max_message_size,
            open_in=holders,
        )

    def _ledger(self) -> LedgerPart:
        telemetry = self._telemetry
        telemetry.spooled = self._spool.events
        books = telemetry.ledger()
        return LedgerPart(
            received=books.received,
            recovered=books.recovered,
            delivered=books.delivered,
            dead=books.dead,
            dropped=books.dropped,
            spooled=books.spooled,
            unaccounted=books.unaccounted,
            dead_by_reason=telemetry.by_reason("dead"),
            dropped_by_reason=telemetry.by_reason("dropped"),
            received_bytes=telemetry.count("received.bytes"),
            delivered_bytes=telemetry.count("sent.bytes"),
            disk_errors=telemetry.count("error.disk"),
        )

    def _spool_part(self) -> SpoolPart:
        filling = self._receiver.filling
        return SpoolPart(
            events=self._spool.events,
            batches=self._spool.books.batches,
            size_bytes=self._spool.size_bytes,
            limit_bytes=self.config.spool_max_size_bytes,
            oldest_at=self._spool.books.oldest_at,
            open_events=filling.state.events if filling else 0,
        )

    def _delivery(self, shift: float) -> DeliveryPart:
        attempts, sender = self._telemetry.attempts, self._sender
        waits_seconds = sender.seconds_to_attempt()
        return DeliveryPart(
            url=_clean(self.config.collector_url),
            last_success_at=_shift(attempts.last_success_at, shift),
            last_refusal=_describe_failure(attempts.last_failure, shift),
            failing_since=_shift(attempts.failing_since, shift),
            next_attempt_at=None if waits_seconds is None else time.time() + waits_seconds,
            in_flight=sender.in_flight,
            allowed=sender.allowed,
            attempts={f"{verdict.name.lower()} {code}": n for (verdict, code), n in attempts.counts.items()},
            clock_offset_seconds=attempts.clock_offset_seconds(),
        )


def _describe_stage(stage: Stage) -> StagePart:
    doing = stage.longest()
    return StagePart(
        name=stage.name,
        last=stage.last,
        age_seconds=stage.age_seconds(),
        count=stage.count,
        doing=doing[0] if doing else "",
        doing_seconds=doing[1] if doing else None,
    )


def _describe_failure(failure: Failure | None, shift: float) -> RefusalPart | None:
    if failure is None:
        return None
    return RefusalPart(
        at=failure.at + shift,
        verdict=failure.verdict.name.lower(),
        status=failure.status,
        kind=failure.kind,
        words=_clean(failure.words),
        remedy=failure.verdict.remedy,
    )


def _shift(at: float | None, shift: float) -> float | None:
    return None if at is None else at + shift


def _clean(text: str) -> str:
    return hide_userinfo(escape_controls(text)).replace("\n", " ")
