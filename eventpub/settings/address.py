"""Addresses to connect to or listen on: `mail.example.com:25`, `[::1]:25`, `/run/statsd.sock`."""

from __future__ import annotations

import ipaddress
import re

from .ini import Kind

_SERVER = re.compile(r"(?:(\w[\w-]*(?:\.\w[\w-]*)*\.?)|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?")
_MAX_PORT = 65_535


def server() -> Kind[str]:
    """A host, with or without a port."""

    def parse(value: str) -> str:
        host_and_port(value)
        return value

    return Kind(
        parse, f"host, host:port or [ipv6]:port, without scheme and path, a port from 1 to {_MAX_PORT:,}"
    )


def host_and_port(server: str) -> tuple[str, int]:
    """Return host and port; port 0 if none is given.

    Raises:
        ValueError: the text is malformed, or the port is out of range.
    """
    match = _SERVER.fullmatch(server)
    if not match or not 1 <= int(match[3] or 1) <= _MAX_PORT:
        raise ValueError
    return _host(match), int(match[3] or 0)


def endpoint() -> Kind[tuple[str, int] | str]:
    """An address: `host:port`, `[ipv6]:port`, or the absolute path of a unix socket."""

    def parse(value: str) -> tuple[str, int] | str:
        if value.startswith("/"):
            return value
        match = _SERVER.fullmatch(value)
        if not match or match[3] is None or int(match[3]) > _MAX_PORT:
            raise ValueError
        return _host(match), int(match[3])

    return Kind(parse, "host:port, [ipv6]:port or the absolute path of a unix socket")


def _host(match: re.Match[str]) -> str:
    return match[1] or str(ipaddress.IPv6Address(match[2]))
