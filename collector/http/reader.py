"""The bytes that a peer sends: all of them come through here, by a deadline, and never at others' expense.

gevent switches to other connections only where a socket has nothing to read. A peer that sends faster than it
is read would keep the process to itself, timeouts and signals included, so each look at the socket lets the
others go first.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import gevent

from eventpub.collector.responses import RefusedError, refuse

if TYPE_CHECKING:
    from .table import Wait

_RECEIVED_BYTES = 64 * 1024  # at a time
_NO_WAIT_SECONDS = 0.0001  # who waits for the socket lets others go first, and hardly ever gets along with less


class Reader:
    """Reads one connection.

    Args:
        socket: a gevent socket, plain or TLS.
        wait: the context of each wait.

    Attributes:
        is_sent_away: whether it is this side that ends what comes, since it needs the connection for others.
    """

    def __init__(self, socket: Any, wait: Wait) -> None:
        self._socket = socket
        self._wait = wait
        self._data = b""  # received, and read as far as `_place`
        self._place = 0
        self.is_sent_away = False
        self.begin(math.inf)

    def begin(self, seconds: float, *, slowest_bytes_per_second: float = math.inf) -> None:
        """Set the time for all that is read from now on: `seconds`, and what its bytes take at that pace."""
        self._deadline = time.monotonic() + seconds
        self._seconds_per_byte = 1 / slowest_bytes_per_second

    def has_more(self) -> bool:
        """Wait for a byte to read; return False if there will be none.

        Raises:
            OSError: the connection was reset, or (TimeoutError) it took too long.
        """
        if self._place < len(self._data):
            gevent.sleep(0)  # requests that came together are others' turns apart
            return True
        return self._receive()

    def read_some(self, limit_bytes: int) -> bytes:
        """Return at least one byte and at most `limit_bytes`; none where the peer has ended.

        Raises:
            OSError: as `has_more`.
        """
        if self._place == len(self._data):
            self._receive()
        return self._take(limit_bytes)

    def read_line(self, limit_bytes: int) -> bytes:
        """Return a line with its end; without one if it is longer than `limit_bytes` or the peer has ended.

        Raises:
            OSError: as `has_more`.
        """
        while True:
            end = self._data.find(b"\n", self._place, self._place + limit_bytes)
            if end >= 0 or len(self._data) - self._place >= limit_bytes or not self._receive():
                return self._take(limit_bytes if end < 0 else end + 1 - self._place)

    def _take(self, limit_bytes: int) -> bytes:
        start = self._place
        self._place = min(len(self._data), start + limit_bytes)
        return self._data[start : self._place]

    def _receive(self) -> bool:
        began = time.monotonic()
        seconds = self._deadline - began
        if seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(None if seconds == math.inf else seconds)
        with self._wait:
            data = self._receive_now_or_later()
        if not data and self.is_sent_away:
            reason = "the collector has too many connections, and this one was silent; send it again"
            raise RefusedError(refuse(503, "too_many_connections", reason, (("Retry-After", "1"),)))
        if time.monotonic() - began < _NO_WAIT_SECONDS:
            gevent.sleep(0)
        self._deadline += len(data) * self._seconds_per_byte
        self._data = self._data[self._place :] + data
        self._place = 0
        return bool(data)

    def _receive_now_or_later(self) -> bytes:
        try:
            return bytes(self._socket.recv(_RECEIVED_BYTES))
        except OSError:
            if not self.is_sent_away:
                raise
            return bytes(self._socket.recv(_RECEIVED_BYTES))  # gevent ended the wait; here is what had come
