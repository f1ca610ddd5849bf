"""Where a handler connects to, as people write it: `mail.example.com`, `mail.example.com:25`, `[::1]:25`."""

from __future__ import annotations

import re

from eventpub import ini

_SERVER = re.compile(r"(?:([^\s/:?#@\[\]]+)|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?")
_PORTS = range(1, 65_536)


def server_kind() -> ini.Kind[str]:
    """A host, with or without a port."""

    def parse(value: str) -> str:
        host_and_port(value)
        return value

    return ini.Kind(parse, "host, host:port or [ipv6]:port, with a port from 1 to 65,535")


def host_and_port(server: str) -> tuple[str, int]:
    """Return host and port, 0 if none is given.

    Raises:
        ValueError: it is written otherwise, or there is no such port.
    """
    match = _SERVER.fullmatch(server)
    if not match or (match[3] and int(match[3]) not in _PORTS):
        raise ValueError
    return match[1] or match[2], int(match[3] or 0)
