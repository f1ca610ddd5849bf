"""What a spool holds, and how it came and went: every step of the spool is one entry here.

`telemetry.metrics` has the ledger that must add up. Events leave it as delivered or dead, or by `lose`.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from eventpub.sidecar.telemetry.reasons import DropReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .batch import Batch, OpenBatch
    from .plan import Plan
    from .records import Contents


class Books:
    """The books of one spool.

    Args:
        telemetry: counts what is entered.

    Attributes:
        events: events in sealed batches.
        size_bytes: bytes of sealed batches.
        received_at: when the first event of each batch was received, by its number; the oldest first.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self.events = 0
        self.size_bytes = 0
        self.received_at: OrderedDict[int, float] = OrderedDict()
        self._telemetry = telemetry

    @property
    def batches(self) -> int:
        """How many sealed batches there are."""
        return len(self.received_at)

    @property
    def oldest_at(self) -> float | None:
        """When the first event of the oldest was received, seconds since 1970; None if there is none."""
        return next(iter(self.received_at.values()), None)

    def recover(self, batch: Batch) -> None:
        """Enter a batch that an earlier process left."""
        self._admit(batch)
        self._telemetry.recovered(batch.events)

    def recover_damaged(self, events: int) -> None:
        """Enter events that an earlier process left, and that cannot be read."""
        self._telemetry.recovered(events)
        self._telemetry.dropped(events, DropReason.DAMAGED)

    def receive(self, batch: Batch) -> None:
        """Enter a batch that was just sealed."""
        self._admit(batch)
        self._telemetry.received(batch.events, batch.size_bytes)

    def deliver(self, batch: Batch) -> None:
        """Enter that the collector has a batch."""
        self._dismiss(batch)
        self._telemetry.delivered(batch.events, batch.size_bytes)
        if batch.is_report:
            self._telemetry.losses.settle()

    def lose(self, batch: Batch, reason: DropReason) -> None:
        """Enter that nobody will get a batch."""
        self._dismiss(batch)
        self._lose(batch, batch.events, reason)

    def lose_open(self, batch: OpenBatch) -> None:
        """Enter that the file of an open batch is gone."""
        self._telemetry.received(batch.state.events, batch.state.offset)
        self._telemetry.dropped(batch.state.events, DropReason.MISSING)

    def split(self, batch: Batch, contents: Contents, plan: Plan, parts: Sequence[Batch]) -> None:
        """Enter what took the place of a batch."""
        self._dismiss(batch)
        for part in reversed(parts):
            part.received_at = batch.received_at
            self._admit(part)
            self.received_at.move_to_end(part.sequence, last=False)
        missing = batch.events - len(contents.events)  # below 0 where the file's name says too few
        self._lose(batch, max(0, missing), DropReason.DAMAGED)
        self._telemetry.recovered(max(0, -missing))
        for reason, events in Counter(plan.buried[place].reason for place in plan.letters).items():
            self._telemetry.dead(events, reason)
        if batch.is_report and plan.letters:
            self._telemetry.losses.settle()  # the dead letter shows what it reported
        self._lose(batch, len(plan.beyond) if plan.is_lossy else 0, DropReason.DEAD_LETTERS_FULL)

    def _lose(self, batch: Batch, events: int, reason: DropReason) -> None:
        if batch.is_report and events:
            self._telemetry.report_dropped()
        else:
            self._telemetry.dropped(events, reason)

    def _admit(self, batch: Batch) -> None:
        self.events += batch.events
        self.size_bytes += batch.size_bytes
        batch.received_at = batch.received_at or time.time()
        self.received_at[batch.sequence] = batch.received_at

    def _dismiss(self, batch: Batch) -> None:
        self.events -= batch.events
        self.size_bytes -= batch.size_bytes
        self.received_at.pop(batch.sequence, None)
