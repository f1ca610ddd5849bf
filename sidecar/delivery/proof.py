"""Whether the collector takes events now, which has to be proven before any are given up.

A refusal may come from a proxy, a firewall or a gateway that says the same to everything, or to every other
request. A refusal is proven if others were accepted after an earlier refusal of the same events, and before
this attempt was sent, with no outage between. An event is bad if it was refused alone three times, each of
them proven. Where little is sent, so that nothing is left to be accepted, one proven refusal of the three
will do, but only if nothing else was refused since then for the first time.

A batch has to be split to find out which of its events are bad, and splitting needs no proof, since nothing
is lost by it. But while nothing at all is accepted it would only fill the disk with parts, so there are
`MAX_GUESSES` until something is accepted: enough to take the largest batch apart down to one event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventpub.sidecar.spool.batch import Batch

_REFUSALS_TO_BURY = 3
_REFUSALS_TO_DOUBT = 8  # of any batches, with nothing accepted between: perhaps nothing is any more
MAX_GUESSES = 20  # splits; 2 ** 20 events fill 64 MiB, the largest batch


class Proof:
    """What was accepted, in order: `now` is a point in it, and rises with each acceptance."""

    def __init__(self) -> None:
        self.now = 0
        self._outage_at = 0
        self._guesses = 0
        self._refusals = 0
        self._first_refusals = 0

    @property
    def is_doubtful(self) -> bool:
        """Tell whether so much was refused since something was accepted that it may be no collector."""
        return self._refusals > _REFUSALS_TO_DOUBT

    def accepted(self) -> None:
        """Note that a batch was accepted."""
        self.now += 1
        self._guesses = self._refusals = self._first_refusals = 0

    def refused(self, batch: Batch, sent_at: int) -> None:
        """Note that a batch was refused that was sent when `now` was `sent_at`."""
        batch.refusals += 1
        if self.covers(batch, sent_at):
            batch.proven_refusals += 1
            batch.failed_at = self.now  # the next one has to be proven anew
        self._refusals += 1
        self._first_refusals += not batch.proven_refusals

    def is_bad(self, batch: Batch) -> bool:
        """Tell whether the only event of a batch that was refused has been proven bad."""
        if batch.proven_refusals >= _REFUSALS_TO_BURY:
            return True
        is_alone = not self._first_refusals and self._outage_at < self.now
        return is_alone and batch.proven_refusals > 0 and batch.refusals >= _REFUSALS_TO_BURY

    def broke_off(self) -> None:
        """Note an outage: what was accepted before proves nothing of what comes after."""
        self._outage_at = self.now

    def covers(self, batch: Batch, sent_at: int) -> bool:
        """Tell whether others were accepted after a batch had failed, and before it was sent again.

        Args:
            batch: its `failed_at` is where it failed before.
            sent_at: what `now` was when it was sent again.
        """
        return batch.failed_at is not None and sent_at > max(batch.failed_at, self._outage_at)

    def guess(self) -> bool:
        """Take one of the splits that need no proof; False if none is left."""
        self._guesses += 1
        return self._guesses <= MAX_GUESSES
