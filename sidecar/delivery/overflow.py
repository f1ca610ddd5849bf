"""Which batch goes when the spool is full: `spool.when_full` as one question with one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from eventpub.sidecar.telemetry.reasons import DropReason

if TYPE_CHECKING:
    from eventpub.sidecar.spool.batch import Batch

    from .outbox import Outbox


class Victim(NamedTuple):
    """A batch that is to be dropped, and why."""

    batch: Batch
    reason: DropReason


def name_victim(
    when_full: Literal["block", "drop_oldest", "drop_newest"], outbox: Outbox, incoming: Batch | None
) -> Victim | None:
    """Return the batch to be dropped for want of room; None where all are kept. The caller drops it.

    Args:
        when_full: the setting.
        outbox: the batches that wait; those in flight are never dropped.
        incoming: one that was just sealed; None before any is received.
    """
    if when_full == "drop_newest" and incoming is not None:
        return Victim(incoming, DropReason.SPOOL_FULL_NEWEST)
    oldest = outbox.oldest() if when_full == "drop_oldest" and incoming is None else None
    return None if oldest is None else Victim(oldest, DropReason.SPOOL_FULL_OLDEST)
