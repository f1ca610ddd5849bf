"""statsd's UDP client, for a unix socket too; it never waits for the other end."""

from __future__ import annotations

import logging
import socket
from typing import Any

import statsd

logger = logging.getLogger(__name__)

_DATAGRAM_BYTES = 512  # fits every path


class StatsdClient(statsd.StatsClient):  # type: ignore[misc]  # the package has no types
    """Sends what statsd's own client formats.

    Args:
        endpoint: (host, port), looked up now, or the path of a unix socket.
        prefix: goes before every metric's name; None for none.

    Raises:
        OSError: the host has no address at the moment.
    """

    def __init__(self, endpoint: tuple[str, int] | str, prefix: str | None) -> None:
        family: int
        address: Any
        if isinstance(endpoint, str):
            family, address = socket.AF_UNIX, endpoint
        else:
            found = socket.getaddrinfo(*endpoint, type=socket.SOCK_DGRAM)
            # IPv4 first: most daemons of statsd listen there only, and UDP does not say that nobody listens
            family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        self._addr = address
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._prefix = prefix
        self._maxudpsize = _DATAGRAM_BYTES
        self._is_failing = False

    def _send(self, data: str) -> None:
        """Send a datagram; what keeps it from being sent is told once, until one is sent again."""
        try:
            self._sock.sendto(data.encode("ascii"), self._addr)
        except BlockingIOError:  # the other end is slow, and nobody waits for metrics
            pass
        except OSError as error:
            if not self._is_failing:
                logger.warning("metrics are not sent: %s: %s; see metrics.endpoint", self._addr, error.strerror)
            self._is_failing = True
        else:
            if self._is_failing:
                logger.info("metrics are sent again: %s", self._addr)
            self._is_failing = False
