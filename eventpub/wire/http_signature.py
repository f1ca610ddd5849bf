"""HTTP Message Signatures (RFC 9421) of the wire's requests: beside `X-Signature`, or in its place.

`X-Signature` covers the body alone. This one covers method, path, `Date`, `Idempotency-Key`, `X-Parent-Batch`
where there is one, and, through `Content-Digest` (RFC 9530, over the body as it is sent), the body: a
recorded request can get neither a new date nor a new batch id, and cannot be made a part of another batch.
The algorithm is hmac-sha256 with the key that `X-Signature` uses, and a request has exactly one signature, so
that there is no question which of them counts.

Both ends use the package http_message_signatures, an extra. It takes 70 ms and 17 MB to import, so it is
imported only where requests are signed this way.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from . import IDEMPOTENCY_HEADER, PARENT_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from http_message_signatures import HTTPSignatureKeyResolver

INSTALLED = importlib.util.find_spec("http_message_signatures") is not None  # the extra rfc9421

SIGNATURE_HEADERS = ("Signature", "Signature-Input")
COMPONENTS = ("@method", "@path", "content-digest", "date", IDEMPOTENCY_HEADER.lower())
LABEL = "eventpub"


@dataclass(frozen=True, slots=True)
class Request:
    """What is signed; `headers` has names in any case, `url` is absolute."""

    method: str
    url: str
    headers: MutableMapping[str, str]


def sign_request(request: Request, sent: bytes, *, key_name: str, secret: bytes, now: float) -> None:
    """Add `Content-Digest`, `Signature-Input` and `Signature` to a request's headers.

    Args:
        request: has `Date` and `Idempotency-Key`.
        sent: the body, compressed if it is sent so.
        key_name: goes into the signature as `keyid`.
        secret: the key.
        now: seconds since the epoch for `created`.
    """
    from http_message_signatures import HTTPMessageSigner  # noqa: PLC0415, an extra, and 17 MB
    from http_message_signatures.algorithms import HMAC_SHA256  # noqa: PLC0415, likewise

    HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=_resolve_keys(lambda _name: secret)).sign(
        request,
        key_id=key_name,
        created=datetime.fromtimestamp(now, timezone.utc),
        label=LABEL,
        covered_component_ids=_list_components(request),
        body=sent,
    )


def verify_request(
    request: Request, sent: bytes, secret_of: Callable[[str], bytes], *, clock_skew_seconds: float
) -> str | None:
    """Return the name of the key that signed a request, or None if nobody did as this module demands.

    Args:
        request: as it came.
        sent: its body as it came.
        secret_of: returns the secret of a key's name; of an unknown one, any that nobody has.
        clock_skew_seconds: how far `created` may lie ahead and `expires` behind.
    """
    from http_message_signatures import (  # noqa: PLC0415, an extra, and 17 MB
        HTTPMessageSignaturesException,
        HTTPMessageVerifier,
    )
    from http_message_signatures.algorithms import HMAC_SHA256  # noqa: PLC0415, likewise

    verifier = HTTPMessageVerifier(signature_algorithm=HMAC_SHA256, key_resolver=_resolve_keys(secret_of))
    verifier.require_created = False  # the date is, and it is what the sender's clock said too
    verifier.max_clock_skew = timedelta(seconds=clock_skew_seconds)
    try:
        (result,) = verifier.verify(
            request, max_age=None, require_components=_list_components(request), body=sent
        )
    except HTTPMessageSignaturesException:
        return None
    return str(result.parameters["keyid"])


def _list_components(request: Request) -> tuple[str, ...]:
    """Return what the signature of a request has to cover."""
    is_part = any(name.lower() == PARENT_HEADER.lower() for name in request.headers)
    return (*COMPONENTS, PARENT_HEADER.lower()) if is_part else COMPONENTS


def _resolve_keys(secret_of: Callable[[str], bytes]) -> HTTPSignatureKeyResolver:
    """Let the package find secrets; it asks by one name to sign and by another to verify."""
    from http_message_signatures import HTTPSignatureKeyResolver  # noqa: PLC0415, an extra, and 17 MB

    resolver = HTTPSignatureKeyResolver()
    resolver.resolve_private_key = resolver.resolve_public_key = secret_of  # type: ignore[assignment, method-assign]
    return resolver
