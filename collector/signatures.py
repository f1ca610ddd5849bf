"""Stage 6: request -> the name of the key that signed it.

A request is signed by `X-Signature`, by an HTTP Message Signature (RFC 9421), or by both. An unknown key, a
wrong mac, a malformed header and a missing one get the same answer, and its timing does not reveal whether a
key is known: a client without a key learns nothing about existing ones.
"""

from __future__ import annotations

import enum
import hmac
import re
import secrets
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from eventpub import wire
from eventpub.wire import http_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed.wsgi import WSGIEnvironment

_HTTP_SIGNATURE = {f"HTTP_{header.upper().replace('-', '_')}" for header in http_signature.SIGNATURE_HEADERS}
_X_SIGNATURE = f"HTTP_{wire.SIGNATURE_HEADER.upper().replace('-', '_')}"
_KEY_ID = re.compile(r';\s*keyid="([^"\\]{1,200})"')
_ANY_TIME_SECONDS = 100 * 365 * 86400.0


class Check(enum.Enum):
    """Why a request is refused."""

    X_SIGNATURE = "X-Signature"
    HTTP_SIGNATURE = "Signature"
    REQUIRED = "an HTTP Message Signature is required, and there is none"
    ONE_KEY = "the signatures are of different keys"


class Keyring:
    """The secrets of each key's name; several while a key is being changed."""

    def __init__(self, secrets_by_name: Mapping[str, tuple[bytes, ...]]) -> None:
        self._secrets = secrets_by_name
        # as many comparisons for every name, or the time would tell which names exist
        self._tries = max(map(len, secrets_by_name.values()))
        self._dummy = (secrets.token_bytes(32),) * self._tries

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._secrets)} keys>"

    def signer(self, signature: str, body: bytes) -> str | None:
        """Return the key's name if `signature`, a value of X-Signature, is its signature of plain `body`."""
        name, mac = wire.parse_signature(signature) or ("", "")
        matches = [hmac.compare_digest(wire.mac(secret, body), mac) for secret in self._candidates(name)]
        return name.lower() if any(matches) else None

    def http_signer(self, request: http_signature.Request, sent: bytes, *, window_seconds: float) -> str | None:
        """Return the key's name if `request` has one HTTP Message Signature, and it is of that key.

        Args:
            request: as it came.
            sent: its body as it came.
            window_seconds: how far the times in it may be from now; 0 for any.
        """
        for place in range(self._tries):
            name = http_signature.verify_request(
                request,
                sent,
                lambda name, place=place: self._candidates(name)[place],  # type: ignore[misc]
                clock_skew_seconds=window_seconds or _ANY_TIME_SECONDS,
            )
            if name is not None:
                return name.lower()
        return None

    def explain(self, environ: WSGIEnvironment, failed: Check) -> dict[str, str]:
        """Return which key a refused request claims and what is wrong, for the log only."""
        if failed is Check.REQUIRED:
            cause, name = "no_http_signature", claimed_key(environ)
        elif failed is Check.ONE_KEY:
            cause, name = "two_keys", claimed_key(environ)
        else:
            is_x = failed is Check.X_SIGNATURE
            name = x_signature_key(environ) if is_x else http_signature_key(environ)
            if is_x and _X_SIGNATURE not in environ:
                cause = "no_signature"
            elif not name:
                cause = "malformed"
            elif name not in self._secrets:
                cause = "unknown_key"
            else:
                cause = "wrong_signature"
        return {"claimed_key": name or "-", "cause": cause}

    def _candidates(self, name: str) -> tuple[bytes, ...]:
        """Return the possible secrets of a key, the same number for every name; INI keys are in lower case."""
        return (*self._secrets.get(name.lower(), ()), *self._dummy)[: self._tries]


def has_http_signature(environ: WSGIEnvironment) -> bool:
    """Return whether a request seems to have an HTTP Message Signature that can be checked here."""
    return http_signature.INSTALLED and not environ.keys().isdisjoint(_HTTP_SIGNATURE)


def signed_request(environ: WSGIEnvironment) -> http_signature.Request:
    """Return the parts of a request that a signature can cover."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
    }
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    url = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', 'unknown')}{environ['PATH_INFO']}{query}"
    return http_signature.Request(environ["REQUEST_METHOD"], url, headers)


def claimed_key(environ: WSGIEnvironment) -> str:
    """Return the name of the key that a request claims; empty if it claims none."""
    return x_signature_key(environ) or http_signature_key(environ)


def x_signature_key(environ: WSGIEnvironment) -> str:
    """Return the name that `X-Signature` claims; empty if it is malformed."""
    signature = wire.parse_signature(environ.get(_X_SIGNATURE, ""))
    return signature[0].lower() if signature else ""


def http_signature_key(environ: WSGIEnvironment) -> str:
    """Return the name that an HTTP Message Signature claims; empty if there is none."""
    found = _KEY_ID.search(environ.get("HTTP_SIGNATURE_INPUT", ""))
    return found[1].lower() if found else ""


def measure_skew(date: str, now: float) -> float | None:
    """Return how many seconds a value of `Date` is ahead of `now`; None if it is not a date."""
    try:
        sent_at = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError, IndexError):  # what email.utils raises over garbage
        return None
    return sent_at.replace(tzinfo=sent_at.tzinfo or timezone.utc).timestamp() - now
