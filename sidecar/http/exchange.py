"""Sends and receives on a connected socket: as patient as the attempt allows, and never to the hub's cost."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import gevent
from urllib3.util.wait import wait_for_read

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from .patience import Patience

_RECEIVE_BYTES = 64 * 1024


def write_head(first_line: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request, its blank line included."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


class Exchange:
    """One request and its answer.

    Args:
        connected: the socket, plain or TLS.
        patience: how long to wait.

    Attributes:
        failure: why not all of the request could be sent; None where it could.
    """

    def __init__(self, connected: socket.socket, patience: Patience) -> None:
        self.failure: OSError | None = None
        self._connected = connected
        self._patience = patience
        self._has_received = False

    def send(self, request: bytes) -> None:
        """Send a request, or as much of it as the other end takes: it may have answered before the end.

        Raises:
            OSError: nothing can come any more.
        """
        left = memoryview(request)
        try:
            while left:
                left = left[self._patience.wait(self._connected, lambda: self._connected.send(left)) :]  # noqa: B023
        except (ConnectionError, ssl.SSLError) as error:  # closed for sending: what was received is still there
            self.failure = error
        except TimeoutError as error:  # it takes no more: because it has said what it thinks of it?
            if not wait_for_read(self._connected, timeout=0.0):
                raise
            self.failure = error

    def receive(self) -> bytes:
        """Return the next bytes, empty where the other end has closed.

        Raises:
            OSError: none came; `failure` if that is why there is no answer.
        """
        if self._has_received:
            gevent.sleep(0)  # an end that never pauses must not keep the others waiting
        try:
            received = self._patience.wait(self._connected, lambda: self._connected.recv(_RECEIVE_BYTES))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            received = b""
        except ConnectionError:
            if not self.failure:
                raise
            received = b""
        if self.failure and not received and not self._has_received:
            raise self.failure
        self._has_received = True
        self._patience.phase = "reading the answer"
        return received
