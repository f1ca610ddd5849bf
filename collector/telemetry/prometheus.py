"""The collector's counts as Prometheus reads them; imported when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from .counts import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from .counts import Snapshot

CONTENT_TYPE = CONTENT_TYPE_LATEST


def write_metrics(snapshot: Snapshot) -> bytes:
    """Return the metrics in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshots(snapshot))
    return generate_latest(registry)


class _Snapshots(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        seen = self._snapshot
        for name, help_, label, counts in (
            ("requests", "Requests answered, by status.", "code", seen.requests),
            ("events_stored", "Events stored, by key.", "key", seen.stored),
            ("events_duplicate", "Events that were stored before, by key.", "key", seen.duplicate),
            ("events_refused", "Events refused, by the code of the answer.", "reason", seen.refused),
            ("engine_errors", "Batches that the store could not take.", "code", seen.engine_errors),
            ("unknown_fields", "Fields that no schema knows, by key.", "key", seen.unknown_fields),
        ):
            family = CounterMetricFamily(f"eventpub_collector_{name}", help_, labels=[label])
            for value, count in counts.items():
                family.add_metric([value], count)
            yield family
        for name, help_, buckets, total in (
            ("request", "Time of a request, its arrival included.", seen.request_buckets, seen.request_seconds),
            ("store", "Time to store a batch.", seen.store_buckets, seen.store_seconds),
        ):
            bounds = [*map(str, SECONDS), "+Inf"]
            yield HistogramMetricFamily(
                f"eventpub_collector_{name}_duration_seconds",
                help_,
                buckets=list(zip(bounds, buckets, strict=True)),
                sum_value=total,
            )
        for name, help_, number in (
            ("store_ready", "Whether the store took what came last.", int(seen.is_writable)),
            ("open_connections", "Connections that are open.", seen.connections),
            ("pending_bytes", "Bytes unpacked and not answered yet.", seen.pending_bytes),
            ("workers", "Processes that serve.", seen.workers),
        ):
            yield GaugeMetricFamily(f"eventpub_collector_{name}", help_, value=number)
        build = GaugeMetricFamily("eventpub_collector_build_info", "The version that runs.", labels=["version"])
        build.add_metric([seen.version], 1)
        yield build
