"""The collector's counts as Prometheus reads them: the values of the metrics that are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.process import exposition
from eventpub.process.metric import Buckets

from .counts import SECONDS
from .exported import METRICS, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventpub.process.metric import Value

    from .counts import Snapshot

CONTENT_TYPE = exposition.CONTENT_TYPE


def write_metrics(snapshot: Snapshot) -> bytes:
    """Return the metrics in Prometheus's text format."""
    return exposition.write_metrics(METRICS, find_values(snapshot))


def find_values(seen: Snapshot) -> dict[str, Value]:
    """Return the value of each metric."""
    return {
        "eventpub_collector_requests_total": _label(seen.requests),
        "eventpub_collector_request_duration_seconds": Buckets(
            SECONDS, seen.request_buckets, seen.request_seconds
        ),
        "eventpub_collector_events_stored_total": _label(seen.stored),
        "eventpub_collector_events_duplicate_total": _label(seen.duplicate),
        "eventpub_collector_events_refused_total": _label(dict.fromkeys(REFUSALS, 0) | seen.refused),
        "eventpub_collector_unknown_fields_total": _label(seen.unknown_fields),
        "eventpub_collector_store_duration_seconds": Buckets(SECONDS, seen.store_buckets, seen.store_seconds),
        "eventpub_collector_store_ready": int(seen.is_writable),
        "eventpub_collector_store_busy_seconds": seen.store_busy_seconds,
        "eventpub_collector_engine_errors_total": _label(seen.engine_errors),
        "eventpub_collector_open_connections": seen.connections,
        "eventpub_collector_pending_bytes": seen.pending_bytes,
        "eventpub_collector_workers": seen.workers,
        "eventpub_collector_build_info": {(seen.version,): 1},
    }


def _label(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(value,): count for value, count in counts.items()}
