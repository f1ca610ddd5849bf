"""Whether the collector takes events now, which has to be proven before any are given up.

A refusal may come from a proxy, a firewall or a gateway that says the same to everything. So events are buried
only when they are refused, then others are accepted, and then they are refused again, with no outage between:
the acceptance must have come before the second attempt was sent.

A batch has to be split to find out which of its events are bad, and splitting needs no proof, since nothing is
lost by it. But while nothing at all is accepted it would only fill the disk with parts, so there are
`MAX_GUESSES` until something is accepted: enough to take the largest batch apart down to one event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventpub.sidecar.spool.batch import Batch

MAX_GUESSES = 20  # splits; 2 ** 20 events fill 64 MiB, the largest batch


class Proof:
    """What was accepted, in order: `now` is a point in it, and rises with each acceptance."""

    def __init__(self) -> None:
        self.now = 0
        self._outage_at = 0
        self._guesses = 0

    def accepted(self) -> None:
        """Note that a batch was accepted."""
        self.now += 1
        self._guesses = 0

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
