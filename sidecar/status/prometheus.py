"""The record as Prometheus reads it: the values of the metrics that are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.process import exposition
from eventpub.process.metric import Buckets
from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason

from .exported import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventpub.process.histogram import Histogram
    from eventpub.process.metric import Value
    from eventpub.sidecar.telemetry.attempts import Attempts

    from .record import StatusRecord

CONTENT_TYPE = exposition.CONTENT_TYPE


def write_metrics(record: StatusRecord, attempts: Attempts) -> bytes:
    """Return the metrics of one sidecar, in Prometheus's text format."""
    common = {"queue": record.queue.name, "slot": str(record.process.slot)}
    return exposition.write_metrics(METRICS, find_values(record, attempts), common)


def find_values(record: StatusRecord, attempts: Attempts) -> dict[str, Value]:
    """Return the value of each metric; None where there is none yet."""
    ledger, delivery, process = record.ledger, record.delivery, record.process
    return {
        "eventpub_events_received_total": ledger.received,
        "eventpub_events_recovered_total": ledger.recovered,
        "eventpub_events_delivered_total": ledger.delivered,
        "eventpub_events_dead_total": _count_all(DeadReason, ledger.dead_by_reason),
        "eventpub_events_dropped_total": _count_all(DropReason, ledger.dropped_by_reason),
        "eventpub_disk_errors_total": ledger.disk_errors,
        "eventpub_events_spooled": ledger.spooled,
        "eventpub_events_unaccounted": ledger.unaccounted,
        "eventpub_queue_messages": record.queue.depth_messages,
        "eventpub_queue_capacity_messages": record.queue.capacity_messages,
        "eventpub_spool_bytes": record.spool.size_bytes,
        "eventpub_spool_limit_bytes": record.spool.limit_bytes,
        "eventpub_spool_oldest_timestamp_seconds": record.spool.oldest_at,
        "eventpub_last_delivery_timestamp_seconds": delivery.last_success_at,
        "eventpub_attempts_total": {
            tuple(ended.split(" ", 1)): number for ended, number in delivery.attempts.items()
        },
        "eventpub_attempt_duration_seconds": _distribute(attempts.seconds),
        "eventpub_delivery_lag_seconds": _distribute(attempts.lag_seconds),
        "eventpub_put_to_store_seconds": _distribute(attempts.store_seconds),
        "eventpub_build_info": {(process.eventpub, process.loops.partition(" ")[0]): 1},
    }


def _count_all(
    reasons: type[DeadReason | DropReason], counted: Mapping[str, int]
) -> dict[tuple[str, ...], float]:
    """Return the counts by reason, with 0 for what did not happen: only a change of a counter can be seen."""
    return {(each,): number for each, number in {**{each.value: 0 for each in reasons}, **counted}.items()}


def _distribute(histogram: Histogram) -> Buckets:
    return Buckets(histogram.bounds, histogram.cumulate(), histogram.sum)
