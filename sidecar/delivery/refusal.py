"""What becomes of the events of a batch that was refused: dead, or sent again, in which batches.

Events that our collector names are dead, and all others go together. Where it names none, the batch is halved
until an event is refused alone. The sidecar and `eventpub dead-letters replay` both go by this; whether there
is proof that the collector takes other events now, without which none is dead, they know themselves
(`proof`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventpub.sidecar.spool.dead_letters import Cause
from eventpub.sidecar.telemetry.reasons import DeadReason
from eventpub.sidecar.telemetry.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .answer import Answer


class Sorted(NamedTuple):
    """The places of a batch's events: those of each new batch, in order, and those of the dead."""

    groups: Sequence[Sequence[int]]
    buried: Mapping[int, Cause]


def sort_out(
    events: int, answer: Answer, verdict: Verdict, *, is_proven: bool, is_report: bool = False
) -> Sorted | None:
    """Return what becomes of each event of a batch; None if all of them have to wait.

    Args:
        events: how many the batch holds.
        answer: what it got.
        verdict: BISECT or HALVE, where events are refused; with any other, none is dead.
        is_proven: whether it is known that this event is bad, if there is only one.
        is_report: whether its event is a loss report, which is dead for a reason of its own.
    """
    everything = range(events)
    named = {index: detail for index, detail in answer.rejected if index in everything}
    is_refused = verdict in (Verdict.BISECT, Verdict.HALVE)
    rest = [index for index in everything if index not in named]
    if named and answer.is_judgement:
        reason = DeadReason.REPORT if is_report else DeadReason.REJECTED
        buried = {index: Cause(reason, answer.status, detail) for index, detail in named.items()}
        return Sorted([rest] if rest else [], buried)
    if named and rest and is_refused:  # a proxy may have named them: they are tried alone
        return Sorted([rest, sorted(named)], {})
    if events > 1:
        half = events // 2
        return Sorted([everything[:half], everything[half:]], {})
    if is_refused and (is_proven or answer.is_judgement_of_one) and not answer.is_taken_apart:
        reason = DeadReason.TOO_LARGE if verdict is Verdict.HALVE else DeadReason.REJECTED
        return Sorted([], {0: Cause(DeadReason.REPORT if is_report else reason, answer.status, answer.reason)})
    return None
