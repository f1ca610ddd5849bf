"""Joined events -> one signed request: container, signature, compression, headers.

A payload is built again for every attempt: the key may have been rotated since the last one, the collector may
now accept another codec, and `Date` is the attempt's. Only the batch's id and its events stay the same.
`X-Signature` covers the uncompressed body, so it does not depend on the codec; an optional HTTP Message
Signature covers the body as it is sent, the date and the batch's id.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventpub import __version__, wire
from eventpub.wire.signing import signed_headers

from .compression import Codec, compress_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventpub.wire.signing import SigningKey

USER_AGENT = f"eventpub-sidecar/{__version__}"


@dataclass(frozen=True, slots=True)
class Payload:
    """What one attempt sends."""

    body: bytes
    headers: Mapping[str, str]


def build_payload(
    version: str,
    joined_events: bytes | memoryview,
    count: int,
    *,
    batch_id: str,
    attempt: int,
    key: SigningKey,
    codec: Codec,
    parents: Sequence[str] = (),
    now: float | None = None,
) -> Payload:
    """Wrap, sign and compress the events of a batch.

    Args:
        version: one of `wire.VERSIONS`.
        joined_events: serialized events with commas between them.
        count: how many they are, at least 1.
        batch_id: the same on every attempt.
        attempt: 1 for the first.
        key: signs the request, in the way it says.
        codec: compresses it.
        parents: ids of the batches that this one is a part of, the nearest first.
        now: seconds since the epoch for `Date`; default: the time of the call.
    """
    container = wire.wrap(version, joined_events, count)
    body = compress_body(codec, container)
    headers = signed_headers(
        version,
        container,
        body,
        content_encoding=None if codec is Codec.NONE else codec.value,
        user_agent=USER_AGENT,
        batch_id=batch_id,
        attempt=attempt,
        count=count,
        key=key,
        now=time.time() if now is None else now,
        parents=parents,
    )
    return Payload(body, headers)
