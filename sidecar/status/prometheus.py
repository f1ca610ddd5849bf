"""The record as Prometheus reads it: the counters are looked at when they are scraped, and at no other time.

All metrics carry `queue` and `slot`. Events that were lost (`dropped`) and those that the collector refused
(`dead`) never share a counter. Imported when it is first asked for: its library takes 60 ms and 4 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from eventpub.process.histogram import Histogram
    from eventpub.sidecar.telemetry.attempts import Attempts

    from .record import StatusRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST


def write_metrics(record: StatusRecord, attempts: Attempts) -> bytes:
    """Return the metrics of one sidecar, in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RecordCollector(record, attempts))
    return generate_latest(registry)


class RecordCollector(Collector):
    """The metrics of one record, and the histograms of the attempts."""

    def __init__(self, record: StatusRecord, attempts: Attempts) -> None:
        self._record = record
        self._attempts = attempts
        self._labels = {"queue": record.queue.name, "slot": str(record.process.slot)}

    def collect(self) -> Iterator[Metric]:
        """Yield them all."""
        record, ledger, delivery = self._record, self._record.ledger, self._record.delivery
        yield self._count("events_received", "Events taken from the queue.", ledger.received)
        yield self._count("events_recovered", "Events found in the spool at the start.", ledger.recovered)
        yield self._count("events_delivered", "Events that the collector accepted.", ledger.delivered)
        dead = {reason.value: 0 for reason in DeadReason} | ledger.dead_by_reason
        yield self._count_by("events_dead", "Events that became dead letters.", "reason", dead)
        dropped = {reason.value: 0 for reason in DropReason} | ledger.dropped_by_reason
        yield self._count_by("events_dropped", "Events that were lost.", "reason", dropped)
        yield self._count("disk_errors", "Operations of the spool that failed.", ledger.disk_errors)
        yield self._gauge("events_spooled", "Events on disk, to be delivered.", ledger.spooled)
        yield self._gauge("events_unaccounted", "Events that the ledger cannot explain: 0.", ledger.unaccounted)
        if record.queue.depth_messages is not None:
            yield self._gauge("queue_messages", "Messages in the kernel queue.", record.queue.depth_messages)
        yield self._gauge(
            "queue_capacity_messages",
            "Messages that fit into the kernel queue.",
            record.queue.capacity_messages,
        )
        yield self._gauge("spool_bytes", "Bytes of the sealed batches.", record.spool.size_bytes)
        yield self._gauge(
            "spool_limit_bytes", "The most they may be: spool.max_size.", record.spool.limit_bytes
        )
        if record.spool.oldest_at is not None:
            yield self._gauge(
                "spool_oldest_timestamp_seconds", "When the oldest event was received.", record.spool.oldest_at
            )
        if delivery.last_success_at is not None:
            yield self._gauge(
                "last_delivery_timestamp_seconds", "When a batch was last accepted.", delivery.last_success_at
            )
        yield self._attempted(delivery.attempts)
        yield self._distribution("attempt_duration_seconds", "Time of an attempt.", self._attempts.seconds)
        yield self._distribution(
            "delivery_lag_seconds",
            "From an event's own time to its acceptance, for the first event of each batch.",
            self._attempts.lag_seconds,
        )
        yield self._distribution(
            "put_to_store_seconds",
            "From the queue into the collector's store, for the first event of each batch.",
            self._attempts.store_seconds,
        )
        build = GaugeMetricFamily(
            "eventpub_build_info", "The version that runs.", labels=[*self._labels, "version", "loops"]
        )
        build.add_metric(
            [*self._labels.values(), record.process.eventpub, record.process.loops.partition(" ")[0]], 1
        )
        yield build

    def _count(self, name: str, help_: str, value: int) -> Metric:
        family = CounterMetricFamily(f"eventpub_{name}", help_, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _count_by(self, name: str, help_: str, label: str, values: Mapping[str, int]) -> Metric:
        family = CounterMetricFamily(f"eventpub_{name}", help_, labels=[*self._labels, label])
        for key, value in values.items():
            family.add_metric([*self._labels.values(), key], value)
        return family

    def _attempted(self, counts: Mapping[str, int]) -> Metric:
        labels = [*self._labels, "outcome", "code"]
        family = CounterMetricFamily("eventpub_attempts", "Attempts, by outcome and code.", labels=labels)
        for key, value in counts.items():
            family.add_metric([*self._labels.values(), *key.split(" ", 1)], value)
        return family

    def _gauge(self, name: str, help_: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"eventpub_{name}", help_, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _distribution(self, name: str, help_: str, values: Histogram) -> Metric:
        family = HistogramMetricFamily(f"eventpub_{name}", help_, labels=list(self._labels))
        bounds = [*map(str, values.bounds), "+Inf"]
        buckets = list(zip(bounds, values.cumulate(), strict=True))
        family.add_metric(list(self._labels.values()), buckets, values.sum)
        return family
