"""The small HTTP server that tells how a process is: a table of routes, GET and HEAD, one request a connection.

It serves `status.listen` of both programs, and the socket beside a sidecar's slot. A route is a path and a
function of the query that returns a `Reply`; to add one, put it into the table that the program gives here.
A reply's body is bytes, or an iterable of pieces that are sent as they come: its `close` is called when the
reader goes. A function must not wait for a disk or for the network: it tells what is known.

Nothing is written into an access log. Whoever connects has `HEAD_SECONDS` to ask; there are `MAX_CONNECTIONS`
at a time, and a reader that takes nothing for `IDLE_SECONDS` is sent away.
"""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import gevent
import gevent.socket
from gevent import pywsgi
from gevent.pool import Pool

from .sockets import listen_at

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    Answerer = Callable[[Mapping[str, str]], "Reply"]

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
HEAD_SECONDS = 5.0
IDLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a route says."""

    body: bytes | Iterable[bytes]
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def text(cls, words: str, status: int = 200) -> Reply:
        """Return one line of text."""
        return cls(f"{words}\n".encode(), status)

    @classmethod
    def json(cls, document: bytes | str, status: int = 200) -> Reply:
        """Return a JSON document."""
        body = document if isinstance(document, bytes) else document.encode()
        return cls(body, status, "application/json")


class ProbeListener:
    """Answers at one address until it is closed.

    Args:
        routes: what answers, by path, such as `{"/livez": answer_livez}`.
        address: (host, port), the path of a unix socket, or a socket that listens already.
        head_seconds: how long a peer may take to ask.

    Attributes:
        url: where it listens, with the port that it really has.

    Raises:
        ListenError: the address is taken, or not this host's.
    """

    def __init__(
        self,
        routes: Mapping[str, Answerer],
        address: tuple[str, int] | str | socket.socket,
        *,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        self._routes = routes
        listening = listen_at(address) if isinstance(address, tuple | str) else address
        self._path = Path(address) if isinstance(address, str) else None
        self._identity = self._identify()
        name: Any = listening.getsockname()
        if isinstance(name, tuple):
            self.url = f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"
        else:
            self.url = f"unix:{address if isinstance(address, str) else name}"
        self._server = pywsgi.WSGIServer(
            gevent.socket.socket(fileno=listening.detach()),  # also where nothing is patched
            self._answer,
            log=None,
            error_log=None,
            spawn=Pool(MAX_CONNECTIONS),
            handler_class=_Handler,
            environ={"SERVER_NAME": "localhost", "SERVER_PORT": "0"},  # without it pywsgi would ask the DNS
        )
        self._server.head_seconds = head_seconds
        self._server.start()

    def close(self) -> None:
        """Stop answering, and remove the socket's file if it is still ours."""
        if self._path is not None and self._identity is not None and self._identify() == self._identity:
            self._path.unlink(missing_ok=True)
        self._server.stop(timeout=0)

    def _identify(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            status = os.lstat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        reply = self._reply(method, environ)
        body = reply.body
        headers = [("Content-Type", reply.content_type), ("Cache-Control", "no-store"), ("Connection", "close")]
        if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
        start(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
        if method != "HEAD":
            return [body] if isinstance(body, bytes) else body
        if close := getattr(body, "close", None):
            close()
        return []

    def _reply(self, method: str, environ: WSGIEnvironment) -> Reply:
        if method not in ("GET", "HEAD"):
            return Reply.text("only GET and HEAD are answered here", HTTPStatus.METHOD_NOT_ALLOWED)
        answer = self._routes.get(environ["PATH_INFO"])
        if answer is None:
            return Reply.text(f"there is {', '.join(self._routes)}", HTTPStatus.NOT_FOUND)
        try:
            return answer(dict(parse_qsl(environ["QUERY_STRING"])))
        except Exception:
            logger.exception("%s could not be answered", environ["PATH_INFO"])
            return Reply.text("this cannot be told: see the log", HTTPStatus.INTERNAL_SERVER_ERROR)


class _Handler(pywsgi.WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """One connection; what is wrong with it is its peer's affair."""

    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET, errno.EBADF, "timed out")

    def handle(self) -> None:
        self.socket.settimeout(IDLE_SECONDS)
        self._patience = gevent.Timeout.start_new(self.server.head_seconds)
        try:
            super().handle()
        except gevent.Timeout as timeout:
            if timeout is not self._patience:
                raise
        finally:
            self._patience.close()

    def run_application(self) -> None:
        self._patience.close()
        super().run_application()

    def log_request(self) -> None:
        """Write nothing."""

    def log_error(self, *_: object) -> None:
        """Write nothing: anybody may send nonsense to a port."""
