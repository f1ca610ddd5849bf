"""A request as a framework passes it -> its description on every event.

The names are those of `Request` in schemas/event.thrift, so JSON and Thrift events use the same words. What
comes from the client is untrusted: every text is cut to a bound and has only printable characters, and an
invalid id is replaced by a new one. The query string is left out, since it may contain secrets.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_CHARACTERS = {"method": 16, "host": 255, "path": 1024, "user_agent": 512, "client_address": 64}
_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"

REQUEST_ID_HEADER = "X-Request-ID"

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:;,=+/@-]{1,128}")
_TRACE_HEADERS = (  # best first; each pattern's first group is the trace id
    (  # version 00 ends after the flags, later ones may go on
        "traceparent",
        re.compile(r"(?!ff|00.{54})[0-9a-f]{2}-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"),
    ),
    ("b3", re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{16})-[0-9a-fA-F]{16}(?:-.*)?")),
    ("x-b3-traceid", re.compile(r"([0-9a-fA-F]{1,32})")),
    ("x-trace", re.compile(r"([0-9a-fA-F]{1,32})")),  # baseplate's
)


def from_environ(
    environ: Mapping[str, Any], path: str | None = None, *, request_id_header: str = REQUEST_ID_HEADER
) -> dict[str, str]:
    """Describe the request of a WSGI environ, or of Django's `request.META`.

    Args:
        environ: as PEP 3333 has it.
        path: where the framework knows it better than SCRIPT_NAME and PATH_INFO do.
        request_id_header: which has the request's id.
    """
    if path is None:
        joined = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
        path = joined.encode("latin-1", "replace").decode("utf-8", "replace")  # how PEP 3333 passes bytes
    return describe_request(
        lambda name: environ.get(_environ_key(name)),
        method=environ.get("REQUEST_METHOD"),
        path=path,
        client_address=environ.get("REMOTE_ADDR"),
        request_id_header=request_id_header,
    )


@cache
def _environ_key(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


def from_scope(
    scope: Mapping[str, Any], path: str | None = None, *, request_id_header: str = REQUEST_ID_HEADER
) -> dict[str, str]:
    """Describe the request, or the websocket, of an ASGI scope.

    Args:
        scope: as the server made it, or proxies' middleware has changed it.
        path: as the server had it, if applications that are mounted may have cut it.
        request_id_header: which has the request's id.
    """
    headers = {name: value.decode("latin-1") for name, value in reversed(list(scope["headers"]))}
    client = scope.get("client")
    return describe_request(
        lambda name: headers.get(name.encode()),
        method=scope.get("method"),
        path=scope["path"] if path is None else path,
        client_address=client[0] if client else None,
        request_id_header=request_id_header,
    )


def describe_request(
    header: Callable[[str], str | None],
    *,
    method: str | None,
    path: str,
    client_address: str | None,
    request_id_header: str = REQUEST_ID_HEADER,
) -> dict[str, str]:
    """Return what is known about a request, by the names of the Thrift `Request`; unknown fields are left out.

    Args:
        header: returns the value of a header by its name in lower case, None if it was not sent.
        method: as the client sent it, None for a websocket.
        path: without the query.
        client_address: of the peer; behind a proxy, whatever the server made of its headers.
        request_id_header: which has the request's id.
    """
    request_id = header(request_id_header.lower()) or ""
    texts = {
        "method": method,
        "host": header("host"),
        "path": path,
        "user_agent": header("user-agent"),
        "client_address": client_address,
    }
    return {
        "id": request_id if _REQUEST_ID.fullmatch(request_id) else new_id(),
        "trace_id": _running_trace_id() or _trace_id(header) or new_id(),
        **{name: _make_printable(text, _MAX_CHARACTERS[name]) for name, text in texts.items() if text},
    }


def new_id() -> str:
    """Return a new id: 32 hexadecimal digits, like a W3C trace id."""
    return os.urandom(16).hex()


def _running_trace_id() -> str | None:
    """Return the trace of OpenTelemetry's current span; without one nothing is imported."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        return None
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def _trace_id(header: Callable[[str], str | None]) -> str | None:
    """Return the request's trace id, from the first header that has a valid one."""
    for name, pattern in _TRACE_HEADERS:
        text = header(name)
        if text and (found := pattern.fullmatch(text)) and found[1].strip("0"):
            return found[1].lower()
    return None


def _make_printable(text: str, max_characters: int) -> str:
    """Cut a text, and replace controls, separators, lone surrogates and other unprintable characters."""
    text = text[:max_characters]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _UNPRINTABLE for character in text)
