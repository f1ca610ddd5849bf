"""The metrics that a collector has for Prometheus, and the closed set of reasons for which it refuses events.

Only keys that have signed are labels.
"""

from __future__ import annotations

from eventpub.process.metric import Metric

METRICS = (
    Metric(
        "eventpub_collector_requests_total", "counter", "Requests answered, probes too, by status.", ("code",)
    ),
    Metric(
        "eventpub_collector_request_duration_seconds", "histogram", "Time of a request, its arrival included."
    ),
    Metric("eventpub_collector_events_stored_total", "counter", "Events stored.", ("key",)),
    Metric("eventpub_collector_events_duplicate_total", "counter", "Events that were stored before.", ("key",)),
    Metric(
        "eventpub_collector_events_refused_total",
        "counter",
        "Events refused: those that an answer of 4xx names, or all that the sender says it sent.",
        ("reason",),
    ),
    Metric("eventpub_collector_unknown_fields_total", "counter", "Fields that no schema knows.", ("key",)),
    Metric("eventpub_collector_store_duration_seconds", "histogram", "Time to store a batch."),
    Metric(
        "eventpub_collector_store_ready",
        "gauge",
        "1 if the store took what came last, and does not hang; of several workers, the worst.",
    ),
    Metric(
        "eventpub_collector_store_busy_seconds",
        "gauge",
        "For how long the store has been at its call; of several workers, the longest.",
    ),
    Metric(
        "eventpub_collector_engine_errors_total",
        "counter",
        "Batches that the store could not take, by the engine's own code.",
        ("code",),
    ),
    Metric("eventpub_collector_open_connections", "gauge", "Connections that are open."),
    Metric(
        "eventpub_collector_pending_bytes",
        "gauge",
        "Bytes unpacked and not answered yet, out of `max_pending_size`.",
    ),
    Metric("eventpub_collector_workers", "gauge", "Processes that serve."),
    Metric("eventpub_collector_build_info", "gauge", "1, with the version that runs.", ("version",)),
)

# The codes of answers of 4xx to batches: counted from 0, since only a change of a counter can be seen.
REFUSALS = (
    "bad_body",
    "bad_encoding",
    "bad_framing",
    "bad_idempotency_key",
    "bad_parent_batch",
    "body_timeout",
    "date_out_of_window",
    "event_count_differs",
    "idempotency_key_reused",
    "invalid_events",
    "length_required",
    "taken_apart",
    "too_large",
    "too_many_events",
    "unauthorized",
    "unsupported_encoding",
)
