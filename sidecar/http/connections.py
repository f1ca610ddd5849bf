"""Open connections to the collector: made, kept while they prove themselves, given up when old.

urllib3 connects and starts TLS. The addresses are dialled and a proxy's answer is read here, within the
attempt's time and the bounds of `reading`.
"""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.wait import wait_for_read

from .dial import Dialer
from .errors import NoAnswerError
from .exchange import Exchange, write_head
from .reading import AnswerReader
from .route import PROXY_REMEDY, PROXY_WANTS_PASSWORD, find_route

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path

    from .patience import Patience
    from .route import Route


class _Line(HTTPConnection):
    """What urllib3's connections do differently here: dial in the attempt's time, and read a proxy's answer."""

    patience: Patience
    dialer: Dialer
    opened_at: float

    def _new_conn(self) -> socket.socket:
        try:
            connected = self.dialer.dial(self._dns_host, self.port, self.patience)
        except OSError as error:
            if self.proxy is None:
                raise
            text = f"the proxy of the environment: {error.strerror or error}"
            raise type(error)(*(text,) if error.errno is None else (error.errno, text)) from error
        self.patience.phase = "starting TLS"
        return connected

    def _tunnel(self) -> None:
        self.patience.phase = "asking the proxy for a way to the collector"
        host = f"[{self._tunnel_host}]" if ":" in (self._tunnel_host or "") else self._tunnel_host
        authority = f"{host}:{self._tunnel_port}"
        given: Mapping[str, str] = self._tunnel_headers  # type: ignore[attr-defined]
        request = write_head(f"CONNECT {authority} HTTP/1.1", {"Host": authority, **given})
        exchange = Exchange(cast("socket.socket", self.sock), self.patience)
        exchange.send(request)
        reader = AnswerReader(exchange.receive)
        try:
            head = reader.read_head()
        except NoAnswerError as error:
            raise NoAnswerError(error.kind, f"the proxy of the environment: {error.reason}") from error
        if head.status == 407:  # noqa: PLR2004
            raise NoAnswerError("proxy", PROXY_WANTS_PASSWORD)
        if head.status // 100 != 2 or reader.has_rest():  # noqa: PLR2004
            what = f"status {head.status}" if head.status // 100 != 2 else "more than an answer"  # noqa: PLR2004
            raise NoAnswerError(
                "proxy",
                f"the proxy answers CONNECT {authority} with {what}; it has to allow that, or {PROXY_REMEDY}",
            )
        self.patience.phase = "starting TLS"


class _PlainLine(_Line):
    """Without TLS."""


class _TlsLine(_Line, HTTPSConnection):
    """With TLS."""


_LINES: Mapping[object, type[HTTPConnection]] = {  # those of SOCKS stay as they are
    HTTPConnection: _PlainLine,
    HTTPSConnection: _TlsLine,
}


class Connections:
    """The connections to one URL.

    Args:
        url: where to, http or https. Proxies are taken from the environment, once.
        kept: how many may wait for use.
        max_age_seconds: how long one is used; the next is made with the addresses of its time.
        ca_file: whom to trust; default: `$REQUESTS_CA_BUNDLE`, `$SSL_CERT_FILE` and `$SSL_CERT_DIR`, or the
            authorities of this system and of certifi.
        client_certificate: what to present; default: nothing.
        client_key: its key, if that stands in a file of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        kept: int,
        max_age_seconds: float,
        ca_file: Path | None = None,
        client_certificate: Path | None = None,
        client_key: Path | None = None,
    ) -> None:
        self._url = url
        self._kept = kept
        self._max_age_seconds = max_age_seconds
        self._named = str(ca_file) if ca_file else os.environ.get("REQUESTS_CA_BUNDLE", "")
        self._certificate: str | tuple[str, str] | None = None
        if client_certificate:
            certificate = str(client_certificate)
            self._certificate = (certificate, str(client_key)) if client_key else certificate
        self._dialer = Dialer()
        self._idle: list[_Line] = []
        self._is_closed = False

    def take(self, patience: Patience) -> _Line:
        """Return an open connection: one that waited for use, or a new one.

        Raises:
            NoAnswerError: the proxy does not let it through, or the authorities cannot be read.
            OSError: it cannot be made.
        """
        while line := self._take_idle():
            age_seconds = time.monotonic() - line.opened_at
            if age_seconds < self._max_age_seconds and not wait_for_read(line.sock, timeout=0.0):
                return line  # neither closed, nor does anything wait that no request has asked for
            line.close()
        try:
            return self._open(patience)
        except (OSError, NoAnswerError):
            raise
        except Exception as error:  # whatever the libraries make of a host, a proxy or a certificate
            raise OSError(f"{type(error).__name__}: {error}") from error

    def _open(self, patience: Patience) -> _Line:
        line = cast("_Line", self.route.pool._new_conn())  # noqa: SLF001, urllib3 has no other way to lend one
        line.patience, line.dialer, line.opened_at = patience, self._dialer, time.monotonic()
        line.timeout = patience.timeout_seconds
        try:
            if self.route.is_tunnelled:
                self.route.pool._prepare_proxy(line)  # noqa: SLF001, likewise: it connects as well
            else:
                line.connect()
        except BaseException:
            line.close()
            raise
        return line

    def keep(self, line: _Line) -> None:
        """Keep a connection whose last answer has proven that it may carry another request."""
        if self._is_closed or len(self._idle) >= self._kept:
            line.close()
        else:
            self._idle.append(line)

    def close(self) -> None:
        """Close what waits for use, and whatever is kept from now on."""
        self._is_closed = True
        while line := self._take_idle():
            line.close()

    def _take_idle(self) -> _Line | None:
        try:
            return self._idle.pop()
        except IndexError:  # another thread may have been faster than any look
            return None

    @functools.cached_property
    def route(self) -> Route:
        """Return how to get there; found once, and again only after it could not be."""
        route = find_route(self._url, self._named, self._certificate)
        route.pool.ConnectionCls = _LINES.get(route.pool.ConnectionCls, route.pool.ConnectionCls)
        return route
