"""Who may ask: a browser on behalf of this page, or a program; no other web page, under whatever name.

Another web page can have a browser send requests here. It must neither read answers, for which a name that it
controls would have to lead here (DNS rebinding, so names are checked), nor reset anything.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from _typeshed.wsgi import WSGIEnvironment

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)

_OWN_SITE = ("same-origin", "none")  # of Sec-Fetch-Site; programs send none at all


def find_objection(environ: WSGIEnvironment, names: Collection[str]) -> str | None:
    """Return why a request is not answered; None if it is.

    Args:
        environ: of the request.
        names: by which this host may be asked, beside addresses and localhost.
    """
    host = environ.get("HTTP_HOST", "")
    name = split_host(host)
    if not (_is_address(name) or name == "localhost" or name.endswith(".localhost") or name in names):
        return f"Host is {host[:100]!r}; ask for localhost or an address, or list the name in page.hosts"
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    is_visit = environ["REQUEST_METHOD"] in ("GET", "HEAD") and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
    if site not in _OWN_SITE and not is_visit:
        return "another web page asks"
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return "another web page asks"
    return None


def split_host(host: str) -> str:
    """Return the name in a value of Host, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
