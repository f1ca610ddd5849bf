"""One connection: its requests' heads within bounds of time, size and form; its lines in the access log.

gevent's pywsgi speaks HTTP. What is added is what it leaves open: how long a request may take to arrive, how
large its head may be, exactly one reading of where its body ends, and an end of the connection that does not
lose the answer.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import re
import socket
import time
from typing import TYPE_CHECKING, Any, Protocol

import gevent
import gevent.socket
from gevent import pywsgi

from eventpub.collector.responses import FACTS, refuse

from .body import Body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from eventpub.collector.config import Settings
    from eventpub.collector.responses import Response

access_log = logging.getLogger("eventpub.collector.access")

CONNECTION = "eventpub.connection"  # environ key: the connection itself, for whoever misuses it on purpose

_MAX_HEADERS = 100  # what http.client parses
_MAX_DRAINED_BYTES = 64 * 1024**2  # read for nothing, so that a sender of that much still gets its 413
_REQUEST_LINE = re.compile(rb"[A-Z]{1,32} [\x21-\x7e]+ HTTP/1\.[01]\r?\n")
_HEADER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r?\n")
_LENGTH = re.compile(r"[0-9]{1,15}")
_PLAIN_WORD = re.compile(r"[\w./:@+-]+", re.ASCII)


class HangUp(Exception):  # noqa: N818, an instruction and no error
    """Raised by an application to end the connection without (the rest of) an answer."""


class _RefusedError(Exception):
    """Raised while a head is read: the request ends with `answer`, and the connection with it."""

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(reason)
        self.answer = refuse(status, error, reason, (("Connection", "close"),))


class Listener(Protocol):
    """What a connection knows of the server that accepted it.

    Attributes:
        application: answers requests.
        settings: limits and timeouts.
        stopping: whether connections end with the request they are in.
        idle: the connections that are in no request.
    """

    application: WSGIApplication
    settings: Settings
    stopping: bool
    idle: set[Connection]


class Connection(pywsgi.WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """Serves the requests of one connection, one after the other, until either side ends it."""

    server: Listener
    wsgi_input: Body
    _orig_status: str | None

    def handle(self) -> None:
        """Serve the connection."""
        self.socket.settimeout(self.server.settings.idle_timeout_seconds)  # of each single wait
        # head and body of an answer are two writes; Nagle would hold the second for 40 ms, until an ACK
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle()

    def handle_one_request(self) -> bool | None:
        """Serve one request; return True to go on with the next, None to close."""
        if not self._request_comes():
            return None
        self.time_start = time.time()
        self.response_length = 0
        self.environ = self.command = self._orig_status = None  # those of the request before
        self._facts: dict[str, object] = {}
        try:
            self._read_head()
        except _RefusedError as refused:
            self._refuse(refused.answer)
            return None
        except OSError:
            return None  # gone; there is nobody to tell
        self.environ = self.get_environ()
        self.application = self.server.application
        self.handle_one_response()
        if not self.wsgi_input.finished:
            self._linger()
            return None
        return None if self.close_connection else True

    def wait_for_close(self) -> None:
        """Wait until the other side, or the server as it stops, ends the connection."""
        with self._idle(), contextlib.suppress(OSError):
            while self.socket.recv(65536):
                pass

    def end_idling(self) -> None:
        """Wake a connection that waits, to find that nothing comes; a request that has arrived is served."""
        with contextlib.suppress(OSError):
            # not the method of an SSLSocket: it would drop the TLS session, and with it the answer
            gevent.socket.socket.shutdown(self.socket, socket.SHUT_RD)

    def _request_comes(self) -> bool:
        if self.server.stopping:
            return False
        with self._idle(), contextlib.suppress(OSError):  # reset, or nothing in time
            return bool(self.rfile.peek(1))
        return False

    @contextlib.contextmanager
    def _idle(self) -> Iterator[None]:
        self.server.idle.add(self)
        if self.server.stopping:
            self.end_idling()
        try:
            yield
        finally:
            self.server.idle.discard(self)

    # --- the head ----------------------------------------------------------------------------------------

    def _read_head(self) -> None:
        self._head_room_bytes = self.server.settings.max_head_bytes
        late = _RefusedError(408, "head_timeout", "the request's head did not arrive in time")
        with gevent.Timeout(self.server.settings.head_timeout_seconds, late):
            line = self._read_head_line()
            if not _REQUEST_LINE.fullmatch(line):
                raise _RefusedError(400, "bad_request_line", "expected METHOD PATH HTTP/1.1")
            try:
                self.read_request(line.decode("ascii"))
            except (ValueError, http.client.HTTPException) as error:
                raise _RefusedError(400, "bad_head", "the request's head cannot be read") from error

    def _read_head_line(self) -> bytes:
        line: bytes = self.rfile.readline(self._head_room_bytes + 1)
        self._head_room_bytes -= len(line)
        if self._head_room_bytes < 0:
            limit_bytes = self.server.settings.max_head_bytes
            raise _RefusedError(431, "head_too_large", f"request line and headers exceed {limit_bytes:,} bytes")
        if not line.endswith(b"\n"):
            raise _RefusedError(400, "bad_head", "the request ends within its head")
        return line

    def MessageClass(self, _rfile: object, seekable: int) -> Any:  # noqa: N802, what pywsgi calls to read headers
        """Read the headers; refuse those from which two readers could take different bodies."""
        lines: list[bytes] = []
        while (line := self._read_head_line()) not in (b"\r\n", b"\n"):
            if not _HEADER_LINE.fullmatch(line):
                raise _RefusedError(400, "bad_header", f"header {len(lines) + 1} is not NAME: VALUE")
            lines.append(line)
        if len(lines) > _MAX_HEADERS:
            raise _RefusedError(431, "too_many_headers", f"more than {_MAX_HEADERS} headers")
        headers = super().MessageClass(io.BytesIO(b"".join([*lines, b"\r\n"])), seekable)
        lengths = headers.get_all("content-length", [])
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise _RefusedError(400, "bad_length", "Content-Length is not one whole number")
        encodings = headers.get_all("transfer-encoding", [])
        if encodings and (lengths or [encoding.lower() for encoding in encodings] != ["chunked"]):
            raise _RefusedError(400, "bad_framing", "Transfer-Encoding takes chunked, without Content-Length")
        return headers

    def get_environ(self) -> WSGIEnvironment:
        """Build the environ with our body, and a place for what the access log should say."""
        environ: WSGIEnvironment = super().get_environ()
        self.wsgi_input = Body(self.wsgi_input, self.server.settings.body_timeout_seconds)
        return {**environ, "wsgi.input": self.wsgi_input, FACTS: self._facts, CONNECTION: self}

    # --- the answer --------------------------------------------------------------------------------------

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Start the answer, and say so if it is the connection's last."""
        if self.server.stopping or not self.wsgi_input.finished:
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """End the connection without a word if the application wants that, or the other side is gone."""
        if issubclass(kind, (HangUp, OSError)):  # the application keeps OSErrors of its own to itself
            self.close_connection = True
        else:
            super().handle_error(kind, error, trace)

    def _refuse(self, answer: Response) -> None:
        body = answer.body()
        lines = [
            f"HTTP/1.1 {answer.status_line}",
            *(f"{name}: {value}" for name, value in answer.all_headers(body)),
        ]
        sent = "\r\n".join([*lines, "", ""]).encode() + body
        self._orig_status = answer.status_line
        self._facts["error"] = answer.fields["error"]
        with contextlib.suppress(OSError):
            self.socket.sendall(sent)
            self.response_length = len(sent)
            self._linger()
        self.log_request()

    def _linger(self) -> None:
        """Let the sender finish and read its answer: to close on unread bytes would reset the connection."""
        drained_bytes = 0
        quietly = gevent.Timeout(self.server.settings.body_timeout_seconds, False)
        with self._idle(), quietly, contextlib.suppress(OSError):
            gevent.socket.socket.shutdown(self.socket, socket.SHUT_WR)
            while drained_bytes < _MAX_DRAINED_BYTES and (data := self.socket.recv(65536)):
                drained_bytes += len(data)

    def log_request(self) -> None:
        """Write the request's line in the access log."""
        environ = self.environ or {}
        facts = {
            "client": self.client_address[0],
            "method": self.command or "-",
            "path": environ.get("PATH_INFO", "-"),
            "status": (self._orig_status or "-").split()[0],
            "received_bytes": self.wsgi_input.bytes_read if environ else 0,
            "sent_bytes": self.response_length,
            "seconds": f"{time.time() - self.time_start:.4f}",
            **self._facts,
        }
        access_log.info("%s", " ".join(f"{name}={_quote_word(str(value))}" for name, value in facts.items()))


def _quote_word(text: str) -> str:
    """Return `text` as one word of a log line, quoted where it is not plain."""
    return text if _PLAIN_WORD.fullmatch(text) else ascii(text)
