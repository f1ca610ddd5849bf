"""What follows from an answer: the batch is delivered, split, sent again or kept.

What an answer says is decided by `judge_answer` alone, whether it proves anything by `Proof`. A batch leaves
the spool by being delivered or split; everything else keeps it, and every way back to the same batch waits
longer each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventpub.sidecar.spool import records
from eventpub.sidecar.telemetry.verdicts import Verdict

from .outbox import RETRY_DISK_SECONDS
from .proof import Proof
from .refusal import sort_out

if TYPE_CHECKING:
    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.spool.batch import Batch
    from eventpub.sidecar.spool.spool import Spool
    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .answer import Answer
    from .gate import Gate
    from .outbox import Outbox

_MAX_RECODINGS = 3  # of a batch at once: as many as there are encodings
_TIMEOUTS_TO_SPLIT = 2  # of a batch while others are accepted; one more while none is
_FAILURES_TO_SPLIT = 5  # likewise, of any kind
_SLOW_KINDS = ("timeout", "reset")  # of no answer, which a smaller batch may get
_REFUSALS = (Verdict.BISECT, Verdict.HALVE)


class Stake(NamedTuple):
    """What an attempt takes with it from its start.

    Attributes:
        gate: what it has to be counted out of; the configuration may be another by then.
        entered: what `Gate.failed` wants to know.
        sent_at: where in the order of what was accepted it was sent.
    """

    gate: Gate
    entered: int
    sent_at: int


class FollowUp:
    """Acts on answers.

    Args:
        spool: where batches are split and removed.
        telemetry: the books.
        outbox: where batches go that are to be sent again.

    Attributes:
        config: the settings; set before anything else.
    """

    config: SidecarConfig

    def __init__(self, spool: Spool, telemetry: Telemetry, outbox: Outbox) -> None:
        self._spool = spool
        self._telemetry = telemetry
        self._outbox = outbox
        self._proof = Proof()

    def enter(self, gate: Gate) -> Stake:
        """Count an attempt in."""
        return Stake(gate, gate.enter(), self._proof.now)

    def act(self, batch: Batch, answer: Answer, verdict: Verdict, stake: Stake) -> None:
        """Do with a batch what its answer means."""
        gate = stake.gate
        if verdict is Verdict.ACCEPTED:
            gate.succeeded()
            self._proof.accepted()
            self._outbox.hurry_refused()  # now is when to find out whether they are bad
            self._tell(verdict, batch, answer)
            self._telemetry.attempts.arrived(batch.received_at, batch.event_at)
            batch.is_accepted = True
            self.finish(batch)
            return
        if verdict is Verdict.RECODE:
            batch.recodings += 1
            if batch.recodings <= _MAX_RECODINGS:
                gate.leave()
                self._tell(verdict, batch, answer)
                self._outbox.put_first([batch])
                return
            verdict = Verdict.MISCONFIGURED  # it refuses whatever it said that it takes
        is_proven = self._proof.covers(batch, stake.sent_at)
        batch.timeouts += answer.kind in _SLOW_KINDS and answer.is_sent
        batch.is_refused = verdict in _REFUSALS
        if batch.is_refused:
            self._proof.refused(batch, stake.sent_at)
        if self._may_split(batch, answer, is_proven=is_proven) and self._split(batch, answer, verdict):
            if batch.is_refused and (is_proven or answer.is_judgement):
                gate.succeeded()
            else:
                gate.leave()
            return
        if batch.failed_at is None:
            batch.failed_at = self._proof.now
        if batch.is_refused:
            verdict = Verdict.DOUBTED
        else:
            self._proof.broke_off()
        if batch.is_refused and not self._proof.is_doubtful:
            seconds = gate.passed_over(batch.attempts)
        else:
            seconds = gate.failed(
                stake.entered, answer.retry_after_seconds, batch.attempts, is_silent=answer.status is None
            )
        self._outbox.set_aside(batch, seconds)
        self._tell(verdict, batch, answer, next_seconds=seconds, is_failing=gate.failing)

    def _may_split(self, batch: Batch, answer: Answer, *, is_proven: bool) -> bool:
        """Tell whether a batch may be taken apart: it is refused, or keeps failing while others do not."""
        if answer.is_judgement:
            return True
        if batch.events == 1:
            return batch.is_refused and (answer.is_judgement_of_one or self._proof.is_bad(batch))
        if batch.is_refused:
            return is_proven or self._proof.guess()
        if is_proven:
            return batch.timeouts >= _TIMEOUTS_TO_SPLIT or batch.attempts >= _FAILURES_TO_SPLIT
        return answer.kind == "timeout" and batch.timeouts > _TIMEOUTS_TO_SPLIT and self._proof.guess()

    def _split(self, batch: Batch, answer: Answer, verdict: Verdict) -> bool:
        """Take a batch apart; tell whether there was anything to take apart."""
        is_proven = self._proof.is_bad(batch)
        plan = sort_out(batch.events, answer, verdict, is_proven=is_proven, is_report=batch.is_report)
        if plan is None:
            return False
        self._tell(verdict if batch.is_refused else Verdict.HALVE, batch, answer)
        image = self._spool.read(batch)
        if image is None:
            return True
        parts = self._spool.split(batch, records.read_records(image), plan.groups, plan.buried)
        for part in parts:
            part.failed_at = self._proof.now
            part.is_refused = batch.is_refused
        self._outbox.put_first(parts)
        return True

    def bury(self, batch: Batch) -> None:
        """Try again to make dead letters of events that wait for room among them."""
        try:
            self._outbox.put_first(self._spool.bury(batch))
        except OSError as error:
            self._telemetry.disk_error(error)
            self._outbox.set_aside(batch, RETRY_DISK_SECONDS)

    def finish(self, batch: Batch) -> None:
        """Remove a batch that the collector has; a disk that fails is asked again, the collector is not."""
        try:
            self._spool.delivered(batch)
        except OSError as error:
            self._telemetry.disk_error(error)
            self._outbox.set_aside(batch, self.config.retry_max_seconds)

    def _tell(
        self,
        verdict: Verdict,
        batch: Batch,
        answer: Answer,
        *,
        next_seconds: float | None = None,
        is_failing: bool = False,
    ) -> None:
        waits: dict[str, object] = {}
        if next_seconds is not None:
            waits = {
                "next_attempt_seconds": round(next_seconds, 1),
                "waiting_events": self._spool.events,
                "url": self.config.collector_url,
            }
        self._telemetry.answered(
            verdict,
            batch="/".join((*self._spool.directory.parts[-2:], batch.path.name)),  # queue, slot, file
            events=batch.events,
            attempt=batch.attempts,
            status=answer.status,
            kind=answer.kind,
            reason=answer.account,
            waits=waits,
            is_failing=is_failing,
        )
