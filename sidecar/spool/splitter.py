"""Puts parts and dead letters in the place of a batch, on a full disk too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from eventpub import wire

from . import dead_letters
from .plan import Plan, header_of
from .reserve import is_full
from .staging import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .batch import Batch
    from .dead_letters import Cause
    from .quota import Quota
    from .records import Contents, Header
    from .reserve import Reserve
    from .staging import Staging


class Splitter:
    """Takes apart the batches of one slot.

    Args:
        queue: the queue's name, which dead letters tell.
        staging: puts files in the place of a batch.
        reserve: space for them where the disk has no other.
        quota: of the dead letters.
        sequences: the numbers of new batches.
        when_full: whether dead events for whose letters there is no room wait, or are dropped.
    """

    def __init__(
        self,
        queue: str,
        staging: Staging,
        reserve: Reserve,
        quota: Quota,
        sequences: Iterator[int],
        *,
        when_full: Literal["block", "drop"],
    ) -> None:
        self._queue = queue
        self._staging = staging
        self._reserve = reserve
        self._quota = quota
        self._sequences = sequences
        self._is_lossy = when_full == "drop"

    def split(
        self,
        batch: Batch,
        contents: Contents,
        groups: Sequence[Sequence[int]],
        buried: Mapping[int, Cause],
    ) -> tuple[Plan, list[Batch] | None]:
        """Replace a batch as `Spool.split` says.

        Returns:
            What became of its events, and the new batches; None where all of them just wait in this one.

        Raises:
            OSError: the disk failed, or has no room even for the parts; the batch stays as it was.
        """
        header = header_of(batch, contents)
        try:
            letters = {}
            for place, cause in buried.items():
                letter = dead_letters.write_letter(
                    contents.events[place],
                    cause,
                    queue=self._queue,
                    batch_id=header.batch_id,
                    index=place,
                    attempts=batch.attempts,
                    version=header.version,
                )
                if self._quota.take(len(letter)):
                    letters[place] = letter
            return self._carry_out(Plan(groups, buried, letters, self._is_lossy), batch, header, contents)
        finally:
            self._quota.settle()

    def _carry_out(
        self, plan: Plan, batch: Batch, header: Header, contents: Contents
    ) -> tuple[Plan, list[Batch] | None]:
        """Change the folder as planned, with fewer letters where the disk has no room for all of them."""
        is_whole = not contents.damaged and len(contents.events) == batch.events
        fewer = [plan.limit_letters(count) for count in (1, 0) if count < len(plan.letters)]
        for attempt in (plan, *fewer):
            if is_whole and not attempt.is_needed:
                return attempt, None
            try:
                return attempt, self._replace(attempt, batch, header, contents.events)
            except OSError as error:
                if not is_full(error) or not attempt.letters:
                    raise
        raise AssertionError  # the last attempt has no letters

    def _replace(self, plan: Plan, batch: Batch, header: Header, events: Sequence[bytes]) -> list[Batch]:
        parts = [
            Part(
                next(self._sequences),
                header.head_part(wire.part_batch_id(header.batch_id, places)),
                [events[place] for place in places],
            )
            for places in plan.parts
        ]
        letters = {
            dead_letters.letter_name(header.batch_id, place): letter for place, letter in plan.letters.items()
        }
        try:
            batches = self._staging.replace(batch, parts, letters)
        except OSError as error:
            if not is_full(error):
                raise
            with self._reserve.lend():
                batches = self._staging.replace(batch, parts, letters)
        for part in batches:
            part.is_report = batch.is_report
        if plan.waiting:
            batches[-1].causes = dict(enumerate(plan.waiting.values()))
        return batches
