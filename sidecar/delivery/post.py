"""One attempt: payload -> POST -> answer, over connections that are kept.

Whatever happens on the way there or back is an `Answer`. An answer that breaks off is no answer: its batch is
sent again under the same id. Nothing is followed, retried, remembered or decompressed.

Every wait ends (`http/patience`), every answer has bounds (`http/reading`), and a connection carries another
request only after an answer that ended where it said. The deadline for the whole attempt is gevent's where it
waits for what is not ours, a name server or a TLS handshake, and so holds there in a process that gevent has
patched, as the sidecar is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import gevent

from eventpub import wire
from eventpub.sidecar.http.connections import Connections
from eventpub.sidecar.http.errors import NoAnswerError
from eventpub.sidecar.http.exchange import Exchange, write_head
from eventpub.sidecar.http.patience import DEADLINE_TIMEOUTS, SLOWEST_BYTES_PER_SECOND, Patience
from eventpub.sidecar.http.reading import MAX_BODY_BYTES, AnswerReader
from eventpub.sidecar.http.route import PROXY_WANTS_PASSWORD
from eventpub.sidecar.http.trouble import explain_failure

from .answer import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.http.reading import Received

    from .payload import Payload

__all__ = ["DEADLINE_TIMEOUTS", "MAX_BODY_BYTES", "Poster"]

MAX_AGE_SECONDS = 300.0  # of a connection: a name that moves is followed by then

_HEADERS = {
    "Accept": "application/json, text/plain;q=0.5",  # no web page: `answer` refuses those
    "Accept-Encoding": "identity",  # so that a small answer stays small
}
_GUESS = "if the other end speaks TLS, set collector.scheme = https"
_FAILURES = (
    OSError,
    ValueError,
    RuntimeError,
    MemoryError,
    NoAnswerError,
)  # what sockets, ssl and reading raise
_PROXY_AUTHENTICATION_REQUIRED = 407


class Poster:
    """Posts to one URL; safe to share between greenlets, and between threads.

    Args:
        url: where to, http or https. Proxies are taken from the environment, once.
        timeout_seconds: for connecting, and for each wait in which nothing moves.
        concurrency: how many connections are kept.
        ca_file: whom to trust; default: `$REQUESTS_CA_BUNDLE`, `$SSL_CERT_FILE` and `$SSL_CERT_DIR`, or the
            authorities of this system and of certifi.
        client_certificate: what to present; default: nothing.
        client_key: its key, if that stands in a file of its own.
        deadline_seconds: for an attempt with an empty body; default: `DEADLINE_TIMEOUTS` timeouts. Each
            `SLOWEST_BYTES_PER_SECOND` of a body add one.
        max_age_seconds: how long a connection is used.
        require_receipt: whether a 2xx has to name the batch.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        concurrency: int,
        ca_file: Path | None = None,
        client_certificate: Path | None = None,
        client_key: Path | None = None,
        deadline_seconds: float | None = None,
        max_age_seconds: float = MAX_AGE_SECONDS,
        require_receipt: bool = False,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._deadline_seconds = deadline_seconds or DEADLINE_TIMEOUTS * timeout_seconds
        self._require_receipt = require_receipt
        self._guess = _GUESS if url.startswith("http:") else ""
        self._connections = Connections(
            url,
            kept=concurrency,
            max_age_seconds=max_age_seconds,
            ca_file=ca_file,
            client_certificate=client_certificate,
            client_key=client_key,
        )

    @classmethod
    def of_config(cls, config: SidecarConfig, version: str, concurrency: int) -> Poster:
        """Return a poster of batches of this version of the wire to the collector of a configuration."""
        return cls(
            config.collector_url_of(version),
            timeout_seconds=config.collector_timeout_seconds,
            concurrency=concurrency,
            ca_file=config.collector_ca_file,
            client_certificate=config.collector_client_certificate,
            client_key=config.collector_client_key,
            max_age_seconds=config.collector_connection_max_age_seconds,
            require_receipt=config.collector_require_receipt,
        )

    def post(self, payload: Payload) -> Answer:
        """Make one attempt; it is over when this returns, at the latest after the deadline."""
        growth_seconds = len(payload.body) / SLOWEST_BYTES_PER_SECOND
        patience = Patience(self._timeout_seconds, self._deadline_seconds + growth_seconds)
        deadline = gevent.Timeout(patience.deadline_seconds)
        try:
            with deadline:
                received = self._exchange(payload, patience)
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            return Answer.none("timeout", patience.explain_deadline(), is_sent=patience.is_sending)
        except _FAILURES as error:
            trouble = explain_failure(error, guess=self._guess)
            return Answer.none(trouble.kind, trouble.reason, is_sent=patience.is_sending)
        self._guess = ""
        if received.status == _PROXY_AUTHENTICATION_REQUIRED:
            return Answer.none("proxy", PROXY_WANTS_PASSWORD)
        answer = Answer.of(received.status, received.fields, received.body)
        if self._require_receipt and answer.batch_id != payload.headers.get(wire.IDEMPOTENCY_HEADER):
            return replace(answer, lacks_receipt=received.status // 100 == 2)  # noqa: PLR2004
        return answer

    def close(self) -> None:
        """Close the connections that wait for use; an attempt in flight ends as it would have."""
        self._connections.close()

    def _exchange(self, payload: Payload, patience: Patience) -> Received:
        line = self._connections.take(patience)
        try:
            exchange = Exchange(line.sock, patience)
            patience.phase = "sending"
            patience.is_sending = True
            exchange.send(self._write_request(payload))
            patience.phase = "waiting for the answer"
            received = AnswerReader(exchange.receive).read()
        except BaseException:
            line.close()
            raise
        if received.is_reusable and not exchange.failure:
            self._connections.keep(line)
        else:
            line.close()
        if exchange.failure and received.status // 100 == 2:  # noqa: PLR2004, nobody can have taken the batch
            raise NoAnswerError("reset", f"status {received.status}, but not all of the batch could be sent")
        return received

    def _write_request(self, payload: Payload) -> bytes:
        route = self._connections.route
        length = {"Content-Length": str(len(payload.body))}
        return (
            write_head(route.request_line, {**route.headers, **_HEADERS, **length, **payload.headers})
            + payload.body
        )
