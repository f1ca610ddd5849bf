"""The metrics that a sidecar has for Prometheus; all of them carry `queue` and `slot`.

Events that were lost (`dropped`) and those that the collector refused (`dead`) never share a counter.
"""

from __future__ import annotations

from eventpub.process.metric import Metric

METRICS = (
    Metric("eventpub_events_received_total", "counter", "Events taken from the queue."),
    Metric("eventpub_events_recovered_total", "counter", "Events found in the spool at the start."),
    Metric("eventpub_events_delivered_total", "counter", "Events that the collector accepted."),
    Metric("eventpub_events_dead_total", "counter", "Events that became dead letters.", ("reason",)),
    Metric("eventpub_events_dropped_total", "counter", "Events that were lost.", ("reason",)),
    Metric("eventpub_disk_errors_total", "counter", "Operations of the spool that failed."),
    Metric("eventpub_events_spooled", "gauge", "Events on disk, to be delivered."),
    Metric("eventpub_events_unaccounted", "gauge", "Events that the ledger cannot explain: 0."),
    Metric("eventpub_queue_messages", "gauge", "Messages in the kernel queue."),
    Metric("eventpub_queue_capacity_messages", "gauge", "Messages that fit into the kernel queue."),
    Metric("eventpub_spool_bytes", "gauge", "Bytes of the sealed batches."),
    Metric("eventpub_spool_limit_bytes", "gauge", "Bytes that sealed batches may take: `spool.max_size`."),
    Metric("eventpub_spool_oldest_timestamp_seconds", "gauge", "When the oldest event was received."),
    Metric("eventpub_last_delivery_timestamp_seconds", "gauge", "When a batch was last accepted."),
    Metric(
        "eventpub_attempts_total",
        "counter",
        "Attempts; the code is a status, or why there was no answer.",
        ("outcome", "code"),
    ),
    Metric("eventpub_attempt_duration_seconds", "histogram", "Time of an attempt."),
    Metric(
        "eventpub_delivery_lag_seconds",
        "histogram",
        "From an event's own time to its acceptance, for the first event of each batch.",
    ),
    Metric(
        "eventpub_put_to_store_seconds",
        "histogram",
        "From the queue into the collector's store, for the first event of each batch.",
    ),
    Metric("eventpub_build_info", "gauge", "1, with the version that runs.", ("version", "loops")),
)
