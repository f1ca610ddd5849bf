"""One line a request in the access log: who asked, for what, and what came of it, as NAME=VALUE."""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import TYPE_CHECKING

from eventpub.process.logs import write_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventpub.collector.config import Network

access_log = logging.getLogger("eventpub.collector.access")

_WITH_PORT = re.compile(r"\[([0-9A-Fa-f.:]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
_MAX_WORD_CHARACTERS = 256


def log_facts(facts: Mapping[str, object]) -> None:
    """Write a line."""
    write_line(access_log, logging.INFO, "request", {name: _shorten(value) for name, value in facts.items()})


def find_client(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """Return the address that a request comes from: the last one that is not a proxy of ours.

    Args:
        peer: the other end of the connection.
        forwarded_for: `X-Forwarded-For`, to which each proxy has added its peer; others write there what they
            like.
        proxies: whom to believe.
    """
    client = _parse_address(peer) if proxies else None
    if client is None:
        return peer
    hops = forwarded_for.split(",")
    while hops and any(client in proxy for proxy in proxies):
        hop = _parse_address(hops.pop().strip())
        if hop is None:
            break
        client = hop
    return str(client)


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with_port = _WITH_PORT.fullmatch(text)
    if with_port:
        text = with_port[1] or with_port[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _shorten(value: object) -> object:
    if isinstance(value, str) and len(value) > _MAX_WORD_CHARACTERS:
        return f"{value[:_MAX_WORD_CHARACTERS]}..."
    return value
