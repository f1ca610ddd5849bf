"""URL and environment -> open connections: made, trusted, kept while they prove themselves, given up when old.

requests and urllib3 decide where to connect, through which proxy, and whom to trust. The addresses are dialled
and a proxy's answer is read here, within the attempt's time and the bounds of `reading`.
"""

from __future__ import annotations

import functools
import os
import ssl
import time
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

import requests
import requests.utils
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from .dial import Dialer
from .errors import NoAnswerError
from .exchange import Exchange
from .reading import AnswerReader

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path

    import urllib3

    from .patience import Patience

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PROXY_REMEDY = (
    "see $HTTPS_PROXY, $HTTP_PROXY and $NO_PROXY: http://USER:PASSWORD@HOST:PORT, odd characters as %XX"
)
PROXY_WANTS_PASSWORD = f"the proxy wants a user and a password; {_PROXY_REMEDY}"


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
            raise type(error)(error.errno, f"the proxy of the environment: {error.strerror}") from error
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
        self.patience.is_sending = False  # nothing of the batch
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
                f"the proxy answers CONNECT {authority} with {what}; it has to allow that, or {_PROXY_REMEDY}",
            )
        self.patience.phase = "starting TLS"


class _PlainLine(_Line):
    """Without TLS."""


class _TlsLine(_Line, HTTPSConnection):
    """With TLS."""


class _Adapter(HTTPAdapter):
    """The adapter of a session, which lends its pool: a request of the session's own costs 1.4 ms more."""

    def find_route(
        self, url: str, *, verify: bool | str, cert: str | tuple[str, str] | None
    ) -> tuple[urllib3.HTTPConnectionPool, str, str]:
        """Return the pool that makes connections to where `url` leads, what to ask for, and of which host."""
        request = requests.Request("POST", url).prepare()
        proxies = requests.utils.get_environ_proxies(url, no_proxy=None)
        try:
            pool = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        except Exception as error:
            if not requests.utils.select_proxy(url, proxies):
                raise
            words = f": {error}" if type(error) is requests.exceptions.InvalidSchema else ""
            # the error's own text may hold the password
            raise NoAnswerError("proxy", f"the proxy cannot be used{words}; {_PROXY_REMEDY}") from None
        self.cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]
        return cast("urllib3.HTTPConnectionPool", pool), self.request_url(request, proxies), request.url or ""


_LINES: Mapping[object, type[HTTPConnection]] = {  # those of SOCKS stay as they are
    HTTPConnection: _PlainLine,
    HTTPSConnection: _TlsLine,
}


class Route(NamedTuple):
    """How to get to a URL, and how its requests begin."""

    pool: urllib3.HTTPConnectionPool
    is_tunnelled: bool
    request_line: str
    headers: Mapping[str, str]


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
        now = time.monotonic()
        while self._idle:
            line = self._idle.pop()
            if now - line.opened_at < self._max_age_seconds and line.is_connected:  # and with nothing to read
                return line
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
        while self._idle:
            self._idle.pop().close()

    @functools.cached_property
    def route(self) -> Route:
        """Return how to get there; found once, and again only after it could not be."""
        adapter = _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        try:
            pool, target, url = adapter.find_route(
                self._url, verify=self._named or True, cert=self._certificate
            )
            if not self._named:
                pool.ca_certs, pool.ca_cert_dir = _find_authorities()  # type: ignore[attr-defined]
        except OSError as error:
            raise NoAnswerError("tls", str(error)) from error
        pool.key_password = ""  # type: ignore[attr-defined]  # or ssl would ask for one at the terminal
        pool.ConnectionCls = _LINES.get(pool.ConnectionCls, pool.ConnectionCls)
        is_tunnelled = pool.proxy is not None and url.startswith("https:")
        return Route(
            pool,
            is_tunnelled,
            f"POST {target} HTTP/1.1",
            {"Host": _name_host(url)} | ({} if is_tunnelled else dict(pool.proxy_headers)),
        )


def write_head(first_line: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request, its blank line included."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _name_host(url: str) -> str:
    """Return `Host` as a URL names it; without the port where that is the scheme's own."""
    parts = urlsplit(url)
    name = (parts.hostname or "").partition("%")[
        0
    ]  # what stands behind it is this host's name for a network card
    host = f"[{name}]" if ":" in name else name
    return host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _find_authorities() -> tuple[str | None, str | None]:
    """Return file and folder of whom to trust: those of the environment; else this system's, and certifi's."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file or folder:
        for path in filter(None, (file, folder)):
            os.stat(path)  # noqa: PTH116, ssl would not say which
        return file or None, folder or None
    system = ssl.get_default_verify_paths()
    return system.cafile or requests.utils.DEFAULT_CA_BUNDLE_PATH, system.capath
