"""One connection: its requests, one after the other, and an end that does not lose the answer.

gevent's pywsgi speaks HTTP. What is added is what it leaves open: how long a request may take to arrive, how
large its head may be, exactly one reading of where its body ends, and that no peer keeps the process to itself.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from typing import TYPE_CHECKING, Any, Protocol

import gevent.socket
from gevent import pywsgi

from eventpub.collector.responses import FACTS, QUIET, RefusedError, refuse

from .access_log import find_client, log_facts
from .body import Body
from .head import HeadReader, check_framing, split_target
from .reader import Reader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from eventpub.collector.config import Settings
    from eventpub.collector.responses import Response
    from eventpub.collector.telemetry.counts import Counts

    from .table import ConnectionTable, Wait

CONNECTION = "eventpub.connection"  # environ key: the connection itself, for the faults that tests ask for

_ENDED = (OSError, RefusedError)  # while its bytes were read
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_DRAINED_BYTES = 64 * 1024**2  # read for nothing, so that a sender of that much still gets its 413


class HangUp(Exception):  # noqa: N818, an instruction and no error
    """Raised by an application to end the connection without (the rest of) an answer."""


class Listener(Protocol):
    """What a connection knows of the server that accepted it.

    Attributes:
        application: answers requests.
        settings: limits and timeouts.
        table: where connections wait.
        counts: what is counted.
    """

    application: WSGIApplication
    settings: Settings
    table: ConnectionTable
    counts: Counts


class Connection(pywsgi.WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """Serves the requests of one connection until either side ends it."""

    server: Listener
    wsgi_input: Body
    environ: WSGIEnvironment | None
    command: str | None
    path: str
    _orig_status: str | None

    def __init__(self, client: Any, address: tuple[Any, ...], server: Listener) -> None:
        self.socket = client
        self.client_address = address
        self.server = server
        self._wait: Wait = server.table.waiting(self)
        self.rfile = Reader(client, self._wait)
        self._is_sending = False

    def handle(self) -> None:
        """Serve the connection."""
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
        except RefusedError as error:
            self._refuse(error.response)
            return None
        except OSError:
            return None  # gone; there is nobody to tell
        self.application = self.server.application
        self.handle_one_response()
        if not self.wsgi_input.is_finished:
            self._linger()
            return None
        return None if self.close_connection else True

    def wait_for_close(self) -> None:
        """Wait until the other side, or the server as it stops, ends the connection."""
        self.rfile.begin(self.server.settings.idle_timeout_seconds)
        with self.server.table.idling(self), contextlib.suppress(*_ENDED):
            while self.rfile.read_some(65536):
                pass

    def give_way(self) -> None:
        """Wait no longer: a request that has arrived is served, one that has not is answered with 503."""
        self.rfile.is_sent_away = True
        with contextlib.suppress(OSError):
            # not the method of an SSLSocket: it would drop the TLS session, and with it the answer
            gevent.socket.socket.shutdown(self.socket, socket.SHUT_RDWR if self._is_sending else socket.SHUT_RD)

    def _ends_here(self) -> bool:
        """Tell whether the server wants the connection to end with the request it is in."""
        table = self.server.table
        return table.is_closing or table.is_crowded or self.rfile.is_sent_away

    def _request_comes(self) -> bool:
        self.rfile.begin(self.server.settings.idle_timeout_seconds)
        with self.server.table.idling(self), contextlib.suppress(*_ENDED):  # reset, or nothing in time
            return self.rfile.has_more()
        return False

    # --- the head ----------------------------------------------------------------------------------------

    def _read_head(self) -> None:
        settings = self.server.settings
        self.rfile.begin(settings.head_timeout_seconds)
        self._head = HeadReader(self.rfile, settings.max_head_bytes)
        try:
            self.read_request(self._head.read_request_line())
            self.path, self._host = split_target(self.command or "", self.path)
            self.environ = self.get_environ()
        except TimeoutError:
            late = refuse(408, "head_timeout", "the request's head did not arrive in time")
            raise RefusedError(late) from None
        except (ValueError, http.client.HTTPException) as error:
            raise RefusedError(refuse(400, "bad_head", "the request's head cannot be read")) from error

    def MessageClass(self, _rfile: object, seekable: int) -> Any:  # noqa: N802, what pywsgi calls to read headers
        """Read the headers; refuse those from which two readers could take different bodies."""
        headers = super().MessageClass(self._head.read_headers(), seekable)
        check_framing(headers, self.request_version)
        return headers

    def get_environ(self) -> WSGIEnvironment:
        """Build the environ with our body, and a place for what the access log should say."""
        environ: WSGIEnvironment = super().get_environ()
        is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        waits = environ.get("HTTP_EXPECT", "").lower() == "100-continue" and self.request_version == "HTTP/1.1"
        self.wsgi_input = Body(
            self.rfile,
            None if is_chunked else self.content_length or 0,
            self.server.settings.body_timeout_seconds,
            (lambda: self._send(_CONTINUE)) if waits else None,
        )
        if self._host is not None:
            environ["HTTP_HOST"] = self._host
        return {**environ, "wsgi.input": self.wsgi_input, FACTS: self._facts, CONNECTION: self}

    # --- the answer --------------------------------------------------------------------------------------

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Start the answer, and say so if it is the connection's last."""
        if self._ends_here() or not self.wsgi_input.is_finished:
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)

    def _write(self, data: bytes) -> None:
        if self.command != "HEAD":  # or the next answer would begin with this one's body
            super()._write(data)

    def _sendall(self, data: bytes) -> None:
        self._send(data)
        self.response_length += len(data)

    def _send(self, data: bytes) -> None:
        self.socket.settimeout(self.server.settings.idle_timeout_seconds)
        self._is_sending = True
        with self._wait:
            self.socket.sendall(data)
        self._is_sending = False

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """End the connection without a word if the application wants that, or the other side is gone."""
        if issubclass(kind, (HangUp, *_ENDED)):  # the application keeps OSErrors of its own to itself
            self.close_connection = True
        else:
            super().handle_error(kind, error, trace)

    def _refuse(self, answer: Response) -> None:
        body = answer.body()
        headers = [*answer.all_headers(body), ("Connection", "close")]
        lines = [f"HTTP/1.1 {answer.status_line}", *(f"{name}: {value}" for name, value in headers)]
        self._orig_status = answer.status_line
        self._facts["error"] = answer.fields["error"]
        with contextlib.suppress(OSError):
            self._sendall("\r\n".join([*lines, "", ""]).encode() + (b"" if self.command == "HEAD" else body))
            self._linger()
        self.log_request()

    def _linger(self) -> None:
        """Let the sender finish and read its answer: to close on unread bytes would reset the connection."""
        self.rfile.begin(self.server.settings.body_timeout_seconds)
        drained_bytes = 0
        with self.server.table.idling(self), contextlib.suppress(*_ENDED):
            gevent.socket.socket.shutdown(self.socket, socket.SHUT_WR)
            while drained_bytes < _MAX_DRAINED_BYTES and (data := self.rfile.read_some(65536)):
                drained_bytes += len(data)

    def log_request(self) -> None:
        """Write the request's line in the access log, unless nobody would miss it."""
        environ = self.environ or {}
        status = int((self._orig_status or "0").split()[0])
        seconds = time.time() - self.time_start
        self.server.counts.answered(status, seconds)
        if QUIET in environ:
            return
        peer = self.client_address[0]
        client = find_client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""), self.server.settings.proxies)
        log_facts(
            {
                "client": client,
                **({"proxy": peer} if client != peer else {}),
                "method": self.command or "-",
                "path": environ.get("PATH_INFO", "-"),
                "status": status,
                "received_bytes": self.wsgi_input.bytes_read if environ else 0,
                "sent_bytes": self.response_length,
                "seconds": round(seconds, 4),
                **self._facts,
            }
        )
