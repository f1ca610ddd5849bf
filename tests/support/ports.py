"""Ports for servers that are told which to take, and that may be away for a while.

They are below those that the kernel gives to clients: one of these may be taken meanwhile, be it by a client
that tries to reach the very server, and is connected to itself.
"""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_LOWEST = 10_000


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback that nobody has."""
    clients, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for _ in range(1000):
        port = random.SystemRandom().randrange(_LOWEST, max(clients, _LOWEST + 10_000))
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def free_ports(number: int) -> list[int]:
    """Return different ones."""
    ports: set[int] = set()
    while len(ports) < number:
        ports.add(free_port())
    return list(ports)
