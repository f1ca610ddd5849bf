"""What came of sending dead letters again: in words, or as one document for `--json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventpub.cli.exit_codes import EXIT_FAILING, EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import complain, say, say_facts, show_progress
from eventpub.cli.wording import count_noun
from eventpub.sidecar.delivery.answer import judge_answer
from eventpub.sidecar.telemetry.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventpub.sidecar.delivery.answer import Answer

REFUSALS = (Verdict.BISECT, Verdict.HALVE)


@dataclass
class Outcome:
    """What came of it so far.

    Attributes:
        url: of the collector.
        total: how many letters were asked for, to show how far it is.
        as_json: whether to print one document at the end, and no lines before.
        accepted: letters that the collector accepted.
        kept: letters that it refused, or that cannot be sent, and why.
    """

    url: str
    total: int
    as_json: bool
    accepted: int = 0
    kept: list[dict[str, str]] = field(default_factory=list)

    def keep(self, letter_id: str, why: str) -> None:
        """Count a letter that stays, and say why."""
        self.kept.append({"id": letter_id, "why": why})
        show_progress("")
        if not self.as_json:
            say(f"stays: {letter_id} {why}")

    def show_progress(self) -> None:
        """Show on a terminal how far it is."""
        show_progress(f"accepted {self.accepted:,}, stayed {len(self.kept):,}, of {self.total:,}")

    def tell_plan(self, sizes: Sequence[int], interrupted: int) -> int:
        """Say what would be sent, in batches of these sizes, and return the exit code."""
        text = (
            f"would send {count_noun(sum(sizes), 'event')} in {count_noun(len(sizes), 'batch', 'batches')} to "
            f"{self.url}, would keep {len(self.kept):,}"
        )
        if interrupted:
            text += f"\nbatches of an interrupted replay that would go first: {interrupted:,}"
        facts: dict[str, object] = {
            "would_send": sum(sizes),
            "batches": len(sizes),
            "interrupted_batches": interrupted,
            "would_keep": self.kept,
            "url": self.url,
        }
        say_facts(text, facts, as_json=self.as_json)
        return EXIT_WARNING if self.kept else EXIT_OK

    def tell(self, answer: Answer | None) -> int:
        """Say what came of it, and by which answer it was stopped; return the exit code."""
        show_progress("")
        remedy = "" if answer is None else _advise(answer)
        stopped = answer and {
            "status": answer.status,
            "kind": None if answer.status else answer.kind,
            "words": answer.account,
            "remedy": remedy,
        }
        facts = {"accepted": self.accepted, "kept": self.kept, "url": self.url, "stopped_by": stopped}
        say_facts(f"accepted {self.accepted:,}, stayed {len(self.kept):,}", facts, as_json=self.as_json)
        if answer is None:
            return EXIT_WARNING if self.kept else EXIT_OK
        outcome = f"answered {answer.status}" if answer.status else f"gave no answer ({answer.kind})"
        complain(
            f"{self.url} {outcome}: {answer.account}; {remedy}, "
            "then repeat the replay: the collector recognises what it has already"
        )
        return EXIT_FAILING


def _advise(answer: Answer) -> str:
    """Return what to do about the answer that stopped a replay."""
    verdict = judge_answer(answer)
    if verdict in REFUSALS:
        verdict = Verdict.DOUBTED
    elif verdict is Verdict.RECODE:  # of a body that is not compressed
        verdict = Verdict.MISCONFIGURED
    return verdict.advice if verdict.remedy else "try again later"
