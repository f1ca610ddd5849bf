"""The record in one line, for `systemctl status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .record import StatusRecord


def summarize_record(record: StatusRecord) -> str:
    """Return the state, the worst trouble, and the numbers that matter, in one line."""
    queue, ledger, success_at = record.queue, record.ledger, record.delivery.last_success_at
    depth = (
        "no queue" if queue.depth_messages is None else f"{queue.depth_messages} of {queue.capacity_messages}"
    )
    facts = [
        f"{record.state}: {record.troubles[0].words}" if record.troubles else record.state,
        f"delivered {ledger.delivered:,}",
        f"spooled {ledger.spooled:,}",
        f"queue {depth}",
        *([f"dead {ledger.dead:,}"] if ledger.dead else []),
        *([f"dropped {ledger.dropped:,}"] if ledger.dropped else []),
    ]
    if success_at is not None:
        facts.append(f"last success {max(0.0, record.taken_at - success_at):.0f} s ago")
    return ", ".join(facts)
