"""Request -> who signed it, and its plain body, within bounds for all requests together.

Until its signature is verified, a request gets few resources: its body is received, unpacked in a thread of its
own, and signed again for comparison. The bytes that are unpacked at a time are bounded over all connections,
from here to the answer; a request that finds no room waits a moment and is then answered with 503.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gevent.threadpool import ThreadPool

from eventpub import wire
from eventpub.process.threads import end_threads

from . import encodings
from .budget import Budget
from .responses import FACTS, RefusedError, refuse
from .signatures import Check, Keyring, claimed_key, has_http_signature, measure_skew, signed_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed.wsgi import WSGIEnvironment

    from .budget import Loan
    from .config import Settings

_PATIENCE_SECONDS = 2.0  # baseplate's publisher gives up after 3 s and sends again what may be stored by then
_SMALL_BYTES = 1024  # unpacks to a MiB at most, in less time than it takes to wake a thread for it twice
_UNPACKING_THREADS = 2
_X_SIGNATURE = f"HTTP_{wire.SIGNATURE_HEADER.upper().replace('-', '_')}"

_CHALLENGE = (("WWW-Authenticate", f'{wire.SIGNATURE_HEADER} realm="eventpub"'),)


@dataclass(frozen=True, slots=True)
class SignedBody:
    """A plain body, the name of the key that signed it, and the part of the budget that it takes."""

    key_name: str
    plain: bytes
    loan: Loan


class Intake:
    """Reads requests.

    Args:
        settings: limits.
        secrets: of each key's name.
        clock: the time of day, in seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: Mapping[str, tuple[bytes, ...]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._keyring = Keyring(secrets)
        self._clock = clock
        largest_bytes = max(settings.max_compressed_bytes, settings.max_body_bytes)
        self._budget = Budget(max(settings.max_pending_bytes, largest_bytes))
        self._threads = ThreadPool(_UNPACKING_THREADS)

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes are unpacked and not answered yet."""
        return self._budget.lent_bytes

    def use_keys(self, secrets: Mapping[str, tuple[bytes, ...]]) -> None:
        """Take requests that are signed by one of these secrets, from the next one on."""
        self._keyring = Keyring(secrets)

    def close(self) -> None:
        """End the threads; no request may come any more."""
        end_threads(self._threads)

    def read(self, environ: WSGIEnvironment) -> SignedBody:
        """Return the signed body of a request; the caller ends its loan.

        Raises:
            RefusedError: it is refused.
        """
        self._check_date(environ)
        encoding = encodings.find_encoding(environ.get("HTTP_CONTENT_ENCODING", ""))
        if encoding is None:
            reason = f"send the body in one of {', '.join(encodings.ACCEPTED)}, identity"
            raise RefusedError(refuse(415, "unsupported_encoding", reason))
        sent = self._receive(environ)
        signer = self._find_http_signer(environ, sent)  # before anything is unpacked
        with contextlib.ExitStack() as on_refusal:
            loan = on_refusal.enter_context(self._borrow(encoding, sent))
            plain = self._unpack(encoding, sent)
            loan.keep(len(plain))
            if _X_SIGNATURE in environ or signer is None:
                x_signer = self._keyring.signer(environ.get(_X_SIGNATURE, ""), plain)
                if x_signer is None:
                    raise self._unauthorized(environ, Check.X_SIGNATURE)
                if signer not in (None, x_signer):
                    raise self._unauthorized(environ, Check.ONE_KEY)
                signer = x_signer
            on_refusal.pop_all()
        return SignedBody(signer, plain, loan)

    def _check_date(self, environ: WSGIEnvironment) -> None:
        window_seconds, date = self._settings.replay_window_seconds, environ.get("HTTP_DATE")
        if not window_seconds or date is None:
            return
        skew_seconds = measure_skew(date, self._clock())
        if skew_seconds is None:
            cause: dict[str, object] = {"cause": "no_date"}
            reason = "Date is missing or malformed; expected a date such as Tue, 20 Apr 2021 02:07:53 GMT"
        elif abs(skew_seconds) > window_seconds:
            cause = {"cause": "date_off", "date_off_by_seconds": round(skew_seconds)}
            reason = (
                f"Date is more than {window_seconds:g} s from the collector's clock: {abs(skew_seconds):.0f} s "
                f"{'ahead of' if skew_seconds > 0 else 'behind'} it; check NTP on both hosts"
            )
        else:
            return
        environ[FACTS] |= {"claimed_key": claimed_key(environ) or "-", **cause}
        raise RefusedError(refuse(401, "date_out_of_window", reason, _CHALLENGE))

    def _receive(self, environ: WSGIEnvironment) -> bytes:
        """Return the request's body as it was sent."""
        limit_bytes = self._settings.max_compressed_bytes
        length = environ.get("CONTENT_LENGTH")
        if length is None and "HTTP_TRANSFER_ENCODING" not in environ:
            reason = "send Content-Length, or Transfer-Encoding: chunked"
            raise RefusedError(refuse(411, "length_required", reason))
        if int(length or 0) > limit_bytes:
            raise _too_large("as sent", limit_bytes)
        sent: bytes = environ["wsgi.input"].read(limit_bytes + 1)
        if len(sent) > limit_bytes:
            raise _too_large("as sent", limit_bytes)
        return sent

    def _find_http_signer(self, environ: WSGIEnvironment, sent: bytes) -> str | None:
        """Return the key of a request's HTTP Message Signature; None if it has none and needs none."""
        if not has_http_signature(environ):
            if self._settings.require_signature == "rfc9421":
                raise self._unauthorized(environ, Check.REQUIRED)
            return None
        request, window_seconds = signed_request(environ), self._settings.replay_window_seconds
        signer = self._keyring.http_signer(request, sent, window_seconds=window_seconds)
        if signer is None:
            raise self._unauthorized(environ, Check.HTTP_SIGNATURE)
        return signer

    def _borrow(self, encoding: str, sent: bytes) -> Loan:
        size_bytes = len(sent) if encoding == "identity" else self._settings.max_body_bytes
        loan = self._budget.borrow(size_bytes, patience_seconds=_PATIENCE_SECONDS)
        if loan is None:
            reason = "earlier batches are still being stored; nothing of this one was; send it again"
            raise RefusedError(refuse(503, "busy", reason, (("Retry-After", "1"),)))
        return loan

    def _unpack(self, encoding: str, sent: bytes) -> bytes:
        """Return the plain form of a body, while other requests go on."""
        arguments = (encoding, sent, self._settings.max_body_bytes)
        if encoding == "identity" or len(sent) <= _SMALL_BYTES:
            plain = encodings.decode_body(*arguments)
        else:
            plain = self._threads.apply(encodings.decode_body, arguments)
        if plain is encodings.Damage.TOO_LARGE:
            raise _too_large("uncompressed", self._settings.max_body_bytes)
        if plain is encodings.Damage.BROKEN:
            reason = f"the body is not one whole {encoding} stream and nothing else"
            raise RefusedError(refuse(400, "bad_encoding", reason))
        return plain

    def _unauthorized(self, environ: WSGIEnvironment, failed: Check) -> RefusedError:
        """Return the one answer for all bad signatures; the log says what is wrong."""
        environ[FACTS] |= self._keyring.explain(environ, failed)
        return RefusedError(
            refuse(
                401,
                "unauthorized",
                f"{wire.SIGNATURE_HEADER} is missing, malformed, of an unknown key, or not that of the "
                "uncompressed body, or Signature is not that of the request as it came",
                _CHALLENGE,
            )
        )


def _too_large(form: str, limit_bytes: int) -> RefusedError:
    reason = f"the body {form} has more than {limit_bytes:,} bytes; send fewer events at once"
    return RefusedError(refuse(413, "too_large", reason, limit_bytes=limit_bytes))
