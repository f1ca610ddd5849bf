"""The wire: what a batch looks like in an HTTP request, and how the request is signed.

`eventpub.sidecar` and `eventpub.collector` share only what is defined here.
"""

from __future__ import annotations

from .batch import (
    ATTEMPT_HEADER,
    CONTAINER_OVERHEAD,
    COUNT_HEADER,
    EVENT_ERRORS,
    IDEMPOTENCY_HEADER,
    MAX_EVENT_SIZE,
    MAX_QUEUE_SIZE,
    PAGE_START_BYTES,
    PARENT_HEADER,
    QUEUE_PREFIX,
    SIGNATURE_HEADER,
    TRANSPORT_ERRORS,
    VERSIONS,
    container,
    is_page,
    join_ids,
    mac,
    new_batch_id,
    parse_signature,
    part_batch_id,
    signature,
    split_ids,
    unwrap,
    wrap,
)

__all__ = [
    "ATTEMPT_HEADER",
    "CONTAINER_OVERHEAD",
    "COUNT_HEADER",
    "EVENT_ERRORS",
    "IDEMPOTENCY_HEADER",
    "MAX_EVENT_SIZE",
    "MAX_QUEUE_SIZE",
    "PAGE_START_BYTES",
    "PARENT_HEADER",
    "QUEUE_PREFIX",
    "SIGNATURE_HEADER",
    "TRANSPORT_ERRORS",
    "VERSIONS",
    "container",
    "is_page",
    "join_ids",
    "mac",
    "new_batch_id",
    "parse_signature",
    "part_batch_id",
    "signature",
    "split_ids",
    "unwrap",
    "wrap",
]
