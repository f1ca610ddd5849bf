"""The way to a collector, which can break as networks do: a TCP port of its own in front of the real one.

with Line(collector.port) as line:
    line.break_("reset")     # and a sidecar that posts to line.port gets connection resets
    line.mend()              # what it sends arrives

It is real to the sidecar: sockets, SYNs, RSTs and bytes; only the reason is made up.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_RST_AT_CLOSE = struct.pack("ii", 1, 0)
_PAGE = b"<!DOCTYPE html><html><title>Welcome to our network</title>Log in to go on.</html>"
_SAID = {
    "garbage": b"SSH-2.0-OpenSSH_9.6\r\n\x00\xff\xfe\r\n\r\n",
    "portal": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_PAGE), _PAGE),
    "half_head": b"HTTP/1.1 200 OK\r\nServer: portal\r\n",
    "broken_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "broken_length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" * 500
_HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


class Line:
    """Forwards to a port of the loopback, or fails.

    | outage         | what a sender gets                               |
    |----------------|--------------------------------------------------|
    | `refused`      | no connection: nobody listens                    |
    | `black_hole`   | no answer to its SYN: the backlog is full        |
    | `reset`        | an RST as soon as it is connected                |
    | `reset_midway` | an RST while it sends                            |
    | `silent`       | a connection, and nothing more                   |
    | `garbage`      | bytes that are no HTTP                           |
    | `portal`       | 200, and the page of a captive portal            |
    | `half_head`    | 200, and an end inside the headers               |
    | `broken_chunk` | 200, and a chunk of a negative size              |
    | `broken_length`| 200, and a negative length                       |
    | `flood`        | informational answers without an end             |

    Args:
        target: the port.
        hints: whether informational answers go before each of the collector's.
    """

    def __init__(self, target: int, *, hints: bool = False) -> None:
        self._target = target
        self._hints = _HINTS if hints else b""
        self._outage = ""
        self._open: set[socket.socket] = set()
        self.attempts = 0
        self.port = 0
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def break_(self, outage: str) -> None:
        """Have it fail, connections in use included."""
        self._close()
        self._outage = outage
        self.attempts = 0
        if outage == "black_hole":
            self._listen(backlog=0)
        elif outage != "refused":
            self._listen()

    def mend(self) -> None:
        """Have it forward again."""
        self._close()
        self._outage = ""
        self._listen()

    def _listen(self, backlog: int = 128) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._listener.listen(backlog)
        if self._outage == "black_hole":  # once the backlog is full, further SYNs are dropped
            for _ in range(3):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.port))
                self._open.add(filler)
        else:
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.attempts += 1
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._outage == "reset":
                _reset(connection)
            elif self._outage == "reset_midway":
                connection.recv(100)
                _reset(connection)
            elif self._outage in _SAID:
                connection.recv(65_536)
                connection.sendall(_SAID[self._outage])
                connection.close()
            elif self._outage == "flood":
                connection.recv(65_536)
                while True:
                    connection.sendall(_CONTINUE)
            elif not self._outage:
                self._forward(connection)

    def _forward(self, connection: socket.socket) -> None:
        collector = socket.create_connection(("127.0.0.1", self._target))
        self._open.add(collector)
        threading.Thread(target=_pump, args=(collector, connection, self._hints), daemon=True).start()
        _pump(connection, collector)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_AT_CLOSE)
    connection.close()


def _pump(source: socket.socket, sink: socket.socket, before: bytes = b"") -> None:
    """Forward; `before` goes before each piece, which is an answer where answers are small."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(before + data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
