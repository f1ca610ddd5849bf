"""One attempt: payload -> POST -> answer, over one session that keeps its connections.

Whatever happens on the way there or back is an `Answer`; what requests, urllib3, ssl and the sockets raise
is mapped to a short word by the one table here. An answer that breaks off is no answer: its batch is sent
again under the same id. Nothing is followed, retried, remembered or decompressed, and no more than
`MAX_BODY_BYTES` of a body are read.

Sockets have a timeout for each operation. The deadline for the whole attempt, name lookup and an answer that
trickles in included, is gevent's and so holds in a process that gevent has patched, as the sidecar is.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import socket
import ssl
from typing import TYPE_CHECKING, cast

import gevent
import requests
import urllib3
from requests.adapters import HTTPAdapter

from .answer import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .payload import Payload

MAX_BODY_BYTES = 64 * 1024  # a collector's reasons fit; a page of a lost proxy need not
DEADLINE_TIMEOUTS = 3  # connecting, sending and reading may each take their whole timeout

_HEADERS = {
    "Accept": "application/json, text/plain;q=0.5",  # no web page: `answer` refuses those
    "Accept-Encoding": "identity",  # so that a small answer stays small
}
_KINDS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (  # the first that matches
    ("dns", (socket.gaierror,)),
    ("tls", (ssl.SSLError,)),
    ("refused", (ConnectionRefusedError,)),
    ("timeout", (TimeoutError, gevent.Timeout)),
    ("reset", (ConnectionError, http.client.IncompleteRead)),
)


class _Adapter(HTTPAdapter):
    """The session's adapter, which lends its connections: a request of the session's own costs 1.4 ms more."""

    def connections(
        self, request: requests.PreparedRequest, *, verify: bool | str, cert: str | tuple[str, str] | None
    ) -> tuple[urllib3.HTTPConnectionPool, str]:
        """Return the kept connections to where `request` goes, through a proxy if so, and what to ask for."""
        url = request.url or ""
        proxies = requests.utils.get_environ_proxies(url, no_proxy=None)
        pool = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        self.cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]
        return cast("urllib3.HTTPConnectionPool", pool), self.request_url(request, proxies)


class Poster:
    """Posts to one URL; safe to share between greenlets, and between threads.

    Args:
        url: where to, http or https. Proxies are taken from the environment, once.
        timeout_seconds: for connecting, and for each wait for the other end.
        concurrency: how many connections are kept.
        ca_file: whom to trust; default: `$REQUESTS_CA_BUNDLE`, else the public authorities.
        client_certificate: what to present; default: nothing.
        client_key: its key, if that stands in a file of its own.
        deadline_seconds: for a whole attempt; default: `DEADLINE_TIMEOUTS` timeouts.
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
    ) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._deadline_seconds = deadline_seconds or DEADLINE_TIMEOUTS * timeout_seconds
        self._session = requests.Session()
        self._session.trust_env = False  # ~/.netrc must not add a password to signed requests
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=concurrency, max_retries=0)
        self._session.mount(url, self._adapter)
        self._verify = str(ca_file) if ca_file else os.environ.get("REQUESTS_CA_BUNDLE") or True
        self._certificate: str | tuple[str, str] | None = None
        if client_certificate:
            certificate = str(client_certificate)
            self._certificate = (certificate, str(client_key)) if client_key else certificate
        self._timeout = urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)

    def post(self, payload: Payload) -> Answer:
        """Make one attempt; it is over when this returns, at the latest after the deadline."""
        deadline = gevent.Timeout(self._deadline_seconds)
        try:
            with deadline, contextlib.closing(self._send(payload)) as response:
                body = response.read(MAX_BODY_BYTES)
                if response.length_remaining and len(body) < MAX_BODY_BYTES:
                    return Answer.none("reset", f"status {response.status}, but its body breaks off")
                if not response.length_remaining:
                    response.release_conn()
                return Answer.of(response.status, response.headers, body)
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            return Answer.none("timeout", f"the attempt took more than {self._deadline_seconds:g} seconds")
        except (OSError, urllib3.exceptions.HTTPError) as error:
            return Answer.none(_name_kind(error), str(error))

    def close(self) -> None:
        """Close the connections that wait for use; an attempt in flight ends as it would have."""
        self._session.close()

    @functools.cached_property
    def _connections(self) -> tuple[urllib3.HTTPConnectionPool, str]:
        request = self._session.prepare_request(requests.Request("POST", self._url))
        return self._adapter.connections(request, verify=self._verify, cert=self._certificate)

    def _send(self, payload: Payload) -> urllib3.BaseHTTPResponse:
        pool, target = self._connections
        return pool.urlopen(
            "POST",
            target,
            body=payload.body,
            headers={**_HEADERS, **payload.headers},
            timeout=self._timeout,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )


def _name_kind(error: BaseException) -> str:
    causes = tuple(_list_causes(error))
    for kind, types in _KINDS:
        if any(isinstance(cause, types) for cause in causes):
            return kind
    return "other"


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
