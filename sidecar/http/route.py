"""URL and environment -> how to get there: through which proxy, trusting whom, and how a request begins.

requests and urllib3 decide all of it, as they would for any other program on this host.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

import requests
import requests.utils
from requests.adapters import HTTPAdapter

from .errors import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3

PROXY_REMEDY = (
    "see $HTTPS_PROXY, $HTTP_PROXY and $NO_PROXY: http://USER:PASSWORD@HOST:PORT, odd characters as %XX"
)
PROXY_WANTS_PASSWORD = f"the proxy wants a user and a password; {PROXY_REMEDY}"

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Route(NamedTuple):
    """How to get to a URL, and how its requests begin; `pool` makes the connections."""

    pool: urllib3.HTTPConnectionPool
    is_tunnelled: bool
    request_line: str
    headers: Mapping[str, str]


def find_route(url: str, authorities: str, certificate: str | tuple[str, str] | None) -> Route:
    """Return how to get to a URL; nothing is connected to yet.

    Args:
        url: where to.
        authorities: file or folder of whom to trust; empty for those of this system.
        certificate: what to present, or that and its key.

    Raises:
        NoAnswerError: the environment's proxy cannot be used, or a file is not there.
    """
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    request = requests.Request("POST", url).prepare()
    proxies = requests.utils.get_environ_proxies(url, no_proxy=None)
    verify = authorities or True
    try:
        connections = adapter.get_connection_with_tls_context(
            request, verify, proxies=proxies, cert=certificate
        )
        target = adapter.request_url(request, proxies)
    except Exception as error:
        if not requests.utils.select_proxy(url, proxies):
            raise
        # the error's own text may hold the password
        words = f": {error}" if type(error) is requests.exceptions.InvalidSchema else ""
        raise NoAnswerError("proxy", f"the proxy cannot be used{words}; {PROXY_REMEDY}") from None
    pool = cast("urllib3.HTTPConnectionPool", connections)
    try:
        adapter.cert_verify(pool, url, verify, certificate)  # type: ignore[no-untyped-call]
        if not authorities:
            pool.ca_certs, pool.ca_cert_dir = _find_authorities()  # type: ignore[attr-defined]
    except OSError as error:
        raise NoAnswerError("tls", str(error)) from error
    pool.key_password = ""  # type: ignore[attr-defined]  # or ssl would ask for one at the terminal
    is_tunnelled = pool.proxy is not None and url.startswith("https:")
    headers = {"Host": _name_host(request.url or "")} | ({} if is_tunnelled else dict(pool.proxy_headers))
    return Route(pool, is_tunnelled, f"POST {target} HTTP/1.1", headers)


def _name_host(url: str) -> str:
    """Return `Host` as a URL names it; without the port where that is the scheme's own."""
    parts = urlsplit(url)
    name = (parts.hostname or "").partition("%")[0]  # behind it stands this host's name for a network card
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
