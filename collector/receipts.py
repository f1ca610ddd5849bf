"""What the store did with a batch -> the answer that its sender gets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from eventpub import wire
from eventpub.collector.store import Outcome

from .responses import Response, refuse

if TYPE_CHECKING:
    from eventpub.collector.store import Receipt

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5  # Retry-After while the store cannot write


def answer_receipt(batch_id: str, receipt: Receipt, **counted: int) -> Response:
    """Say what came of a batch; `counted` is what was read of it, or nothing where it was not read."""
    if receipt.outcome is Outcome.UNAVAILABLE:
        logger.error("store unavailable batch=%s code=%s reason=%r", batch_id, receipt.code, receipt.reason)
        return answer_unavailable(receipt.reason)
    if receipt.outcome is Outcome.TOO_MANY:
        limit = receipt.limit_events
        reason = f"the store takes at most {limit:,} events in one batch; send fewer at once"
        return refuse(413, receipt.outcome.value, reason, limit_events=limit)
    if receipt.outcome is Outcome.KEY_REUSED:
        reason = f"{wire.IDEMPOTENCY_HEADER} {batch_id} came with another body before; use a new one"
        return refuse(422, receipt.outcome.value, reason)
    if receipt.outcome is Outcome.TAKEN_APART:
        reason = f"parts of batch {batch_id} came before it; nothing of it was stored; send its other parts"
        return refuse(409, receipt.outcome.value, reason)
    duplicate = receipt.outcome is Outcome.DUPLICATE
    return Response(200, {"batch_id": batch_id, **counted, "duplicate": duplicate})


def answer_unavailable(reason: str) -> Response:
    """Return the answer to a batch, or a probe, while nothing can be stored."""
    return refuse(
        503,
        Outcome.UNAVAILABLE.value,
        f"the store cannot write now, nothing was stored: {reason}",
        headers=(("Retry-After", str(RETRY_SECONDS)),),
    )
