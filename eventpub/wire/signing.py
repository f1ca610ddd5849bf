"""Batch -> the headers of its request: its ids, its date, and the configured signatures.

Every sender makes them here, so that requests of a sidecar and of a handler look the same.
"""

from __future__ import annotations

import dataclasses
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal

from . import batch as wire
from . import http_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

Scheme = Literal["x-signature", "rfc9421", "both"]

_ANY_HOST = "collector"  # the host is not signed: a proxy may give the collector another


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs one attempt, and how: by `X-Signature`, an HTTP Message Signature, or both."""

    name: str
    secret: bytes = dataclasses.field(repr=False)
    scheme: Scheme = "x-signature"


def signed_headers(
    version: str,
    container: bytes,
    sent: bytes,
    *,
    content_encoding: str | None = None,
    user_agent: str,
    batch_id: str,
    attempt: int,
    count: int,
    key: SigningKey,
    now: float,
    parents: Sequence[str] = (),
) -> dict[str, str]:
    """Return the headers of a request, signed.

    Args:
        version: one of `wire.VERSIONS`.
        container: the body before it was compressed, which `X-Signature` covers.
        sent: the body as it is sent, which an HTTP Message Signature covers.
        content_encoding: how it was compressed; None where it was not.
        user_agent: who sends.
        batch_id: the same on every attempt.
        attempt: 1 for the first.
        count: how many events there are.
        key: signs the request, in the way it says.
        now: seconds since the epoch.
        parents: ids of the batches that this one is a part of, the nearest first.
    """
    headers = {
        "Content-Type": "application/json",
        "Date": formatdate(now, usegmt=True),
        "User-Agent": user_agent,
        wire.IDEMPOTENCY_HEADER: batch_id,
        wire.ATTEMPT_HEADER: str(attempt),
        wire.COUNT_HEADER: str(count),
    }
    if parents:
        headers[wire.PARENT_HEADER] = wire.join_ids(parents)
    if content_encoding is not None:
        headers["Content-Encoding"] = content_encoding
    if key.scheme != "rfc9421":
        headers[wire.SIGNATURE_HEADER] = wire.signature(key.name, key.secret, container)
    if key.scheme != "x-signature":
        request = http_signature.Request("POST", f"http://{_ANY_HOST}/v{version}", headers)
        http_signature.sign_request(request, sent, key_name=key.name, secret=key.secret, now=now)
    return headers
