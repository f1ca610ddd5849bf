"""Whether the collector takes events now, which has to be proven before any are given up.

A refusal may come from a proxy, a firewall or a gateway that says the same to everything. So events are
buried only when they are refused, then others are accepted, and then they are refused again, with no outage
between: the acceptance must have come before the second attempt was sent.

A batch has to be split to find out which of its events are bad, and splitting needs no proof, since nothing
is lost by it. But while nothing at all is accepted it would only fill the disk with parts, so there are
`MAX_GUESSES` until something is accepted: enough to take the largest batch apart down to one event. Other
batches may give proof at no cost, so a few of them are tried first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventpub.sidecar.spool.batch import Batch

_REFUSALS_TO_GUESS = 4  # of any batches, with nothing accepted between: perhaps each has a bad event
_REFUSALS_TO_DOUBT = 8  # likewise: perhaps nothing is accepted any more
MAX_GUESSES = 20  # splits; 2 ** 20 events fill 64 MiB, the largest batch


class Proof:
    """What was accepted, in order: `now` is a point in it, and rises with each acceptance."""

    def __init__(self) -> None:
        self.now = 0
        self._outage_at = 0
        self._guesses = 0
        self._refusals = 0

    @property
    def is_doubtful(self) -> bool:
        """Tell whether so much was refused since something was accepted that it may be no collector."""
        return self._refusals > _REFUSALS_TO_DOUBT

    def accepted(self) -> None:
        """Note that a batch was accepted."""
        self.now += 1
        self._guesses = self._refusals = 0

    def refused(self) -> None:
        """Note that a batch was refused."""
        self._refusals += 1

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

    def guess(self, *, can_wait: bool = False) -> bool:
        """Take one of the splits that need no proof; False if it is too early, or none is left.

        Args:
            can_wait: whether other batches are there that may be accepted first.
        """
        if can_wait and self._refusals < _REFUSALS_TO_GUESS:
            return False
        self._guesses += 1
        return self._guesses <= MAX_GUESSES
