"""The other end of a connection, as a script: what collectors, proxies and worse may answer."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .paths import CERTIFICATES
from .waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from typing_extensions import Self

Script = Callable[[socket.socket], None]

_RST_AT_CLOSE = struct.pack("ii", 1, 0)


class Peer:
    """Listens, and plays a script on every connection; notes how many there were and what they asked.

    Use it as a context manager; its end ends the scripts.

    Args:
        script: called with each connection; what it leaves open is closed after it.
        tls: to serve TLS with.
        host: the address to listen at.
        port: the port; 0 for any.
        receive_buffer_bytes: how much the kernel takes for it; None for its default.
    """

    def __init__(
        self,
        script: Script,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer_bytes:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._listener.bind((host, port))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}/v2j"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(DEADLINE_SECONDS)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)

    def is_playing(self) -> bool:
        """Tell whether the script of the last connection still runs."""
        return self._threads[-1].is_alive()

    def read_head(self, connection: socket.socket) -> bytes:
        """Return the next request up to its blank line, and what came with that; empty at the end."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65_536)):
                return b""
            data += more
        return data

    def read(self, connection: socket.socket) -> bytes:
        """Return the next whole request, and note it; empty when the other end has closed."""
        head, _, body = self.read_head(connection).partition(b"\r\n\r\n")
        if not head:
            return b""
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(body) < length:
            body += connection.recv(65_536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self.connections += 1
                self._start(self._play, connection)

    def _play(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._tls:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            self._script(connection)


@contextlib.contextmanager
def answering(*answers: bytes, **options: object) -> Iterator[Peer]:
    """A peer that gives each request of a connection the next of `answers`, and then closes it."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            if peer.read(connection):
                connection.sendall(answer)

    peer = Peer(script, **options)  # type: ignore[arg-type]
    with peer:
        yield peer


@contextlib.contextmanager
def trickling(start: bytes, drop: bytes, pause_seconds: float = 0.02) -> Iterator[Peer]:
    """A peer that writes `start` and then `drop` again and again, each well within any timeout."""

    def script(connection: socket.socket) -> None:
        peer.read(connection)
        connection.sendall(start)
        while True:
            connection.sendall(drop)
            if pause_seconds:
                time.sleep(pause_seconds)

    peer = Peer(script)
    with peer:
        yield peer


def reset(connection: socket.socket) -> None:
    """Script: take the beginning of a request, and end the connection with an RST."""
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_AT_CLOSE)


def tls_context() -> ssl.SSLContext:
    """The tests' server certificate, for localhost and 127.0.0.1, ready to serve."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    return context
