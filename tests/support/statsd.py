"""A statsd that only listens: real datagrams, and what they add up to."""

from __future__ import annotations

import socket
from collections import Counter

from support.waiting import DEADLINE_SECONDS


class Statsd:
    """A UDP or unix socket; local datagrams arrive at once.

    Attributes:
        address: where it listens: host and port, or a path.
        counters: the sum of each counter that `read` has seen.
        gauges: all values of each gauge that `read` has seen.
        timers: likewise, in milliseconds.
    """

    def __init__(self, address: tuple[str, int] | str = ("127.0.0.1", 0)) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.address = self.socket.getsockname()
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, list[int]] = {}
        self.timers: dict[str, list[float]] = {}

    @property
    def endpoint(self) -> str:
        """The address as a setting."""
        return self.address if isinstance(self.address, str) else f"127.0.0.1:{self.address[1]}"

    def datagrams(self) -> list[str]:
        """Return what has arrived since the last call."""
        found = []
        self.socket.setblocking(False)
        try:
            while True:
                found.append(self.socket.recv(65_536).decode())
        except BlockingIOError:
            return found

    def lines(self) -> list[str]:
        """Return the lines of what has arrived, sorted."""
        return sorted("\n".join(self.datagrams()).splitlines())

    def read(self) -> Counter[str]:
        """Add up what has arrived; return the counters."""
        for line in "\n".join(self.datagrams()).splitlines():
            name, value, kind = line.replace(":", "|").split("|")
            if kind == "c":
                self.counters[name] += int(value)
            elif kind == "g":
                self.gauges.setdefault(name, []).append(int(value))
            elif kind == "ms":
                self.timers.setdefault(name, []).append(float(value))
        return self.counters
