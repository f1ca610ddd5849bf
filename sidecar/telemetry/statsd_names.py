"""The metrics that a sidecar sends to statsd, below `metrics.namespace`; the first four are baseplate's.

What is counted by a label, is counted under its own name, and once more with the label behind it: `dropped` and
`dropped.damaged`.
"""

from __future__ import annotations

from eventpub.process.metric import Metric

STATSD_METRICS = (
    Metric("post", "timer", "One attempt, in milliseconds."),
    Metric("sent", "counter", "Events delivered."),
    Metric("error.http", "counter", "Answers other than 2xx; each by its status.", ("status",)),
    Metric(
        "error.io",
        "counter",
        "Attempts without an answer; each by its kind: dns, refused, unreachable, tls, proxy, timeout, reset, "
        "malformed, key, other.",
        ("kind",),
    ),
    Metric("error.disk", "counter", "Operations of the spool that failed."),
    Metric("received", "counter", "Events taken from the queue."),
    Metric("recovered", "counter", "Events found in the spool at the start."),
    Metric("reported", "counter", "Loss reports written; each stands in `received`, too."),
    Metric("dead", "counter", "Events that became dead letters; each by its reason.", ("reason",)),
    Metric("dropped", "counter", "Events lost; each by its reason.", ("reason",)),
    Metric("copies.missed", "counter", "Damaged files without a copy."),
    Metric("letters.waiting", "counter", "Refused events without room for a letter, each time that is tried."),
    Metric("received.bytes", "counter", "The batch files that received events filled, in bytes."),
    Metric("sent.bytes", "counter", "The batch files that delivered events filled, in bytes."),
    Metric("spooled", "gauge", "Events on disk."),
    Metric("unaccounted", "gauge", "Events that the ledger cannot explain: 0."),
    Metric("queue.depth", "gauge", "Messages in the kernel queue."),
    Metric("spool.bytes", "gauge", "Bytes on disk, out of `spool.max_size`."),
)
