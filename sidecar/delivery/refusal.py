"""What a refused batch comes to: which of its events are dead, and which may go once more, in which batches.

Events that the collector names are dead, and all others go together. Where it names none, the batch is halved
until an event is refused alone. The sidecar and `eventpub dead-letters replay` both go by this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventpub.sidecar.spool.dead_letters import Cause
from eventpub.sidecar.telemetry.losses import is_report
from eventpub.sidecar.telemetry.reasons import DeadReason
from eventpub.sidecar.telemetry.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .answer import Answer


class Sorted(NamedTuple):
    """The places of a batch's events: those of each new batch, in order, and those of the dead."""

    groups: Sequence[Sequence[int]]
    buried: Mapping[int, Cause]


def sort_out(events: Sequence[bytes], answer: Answer, verdict: Verdict) -> Sorted:
    """Return what becomes of each event of a batch.

    Args:
        events: what the batch holds.
        answer: what it got.
        verdict: BISECT or HALVE.
    """
    everything = range(len(events))
    named = {index: detail for index, detail in answer.rejected if index in everything}

    def cause(index: int, reason: DeadReason, detail: str) -> Cause:
        return Cause(DeadReason.REPORT if is_report(events[index]) else reason, answer.status, detail)

    if verdict is Verdict.BISECT and named:
        rest = [index for index in everything if index not in named]
        buried = {index: cause(index, DeadReason.REJECTED, detail) for index, detail in named.items()}
        return Sorted([rest] if rest else [], buried)
    if len(events) == 1:
        reason = DeadReason.TOO_LARGE if verdict is Verdict.HALVE else DeadReason.REJECTED
        return Sorted([], {0: cause(0, reason, answer.reason)})
    half = len(events) // 2
    return Sorted([everything[:half], everything[half:]], {})
