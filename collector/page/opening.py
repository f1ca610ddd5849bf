"""Opens the page's port beside the collector's, where the configuration asks for it."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
from typing import TYPE_CHECKING

from eventpub.collector.http.server import Server
from eventpub.errors import ConfigError

from .feed import Feed
from .serving import MAX_CONNECTIONS, PageApplication

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.collector.config import Config, Settings

logger = logging.getLogger(__name__)

_KEY = "page.listen"


def refuse_workers(settings: Settings) -> None:
    """Refuse a page of several processes.

    Raises:
        ConfigError: there is to be one.
    """
    if settings.page_listen is not None:
        reason = "is for one process, since each worker would show its own events only; leave --workers out"
        raise ConfigError("collector", _KEY, _join(settings.page_listen), reason)


def open_feed(config: Config) -> Feed:
    """Return an empty feed."""
    settings = config.settings
    return Feed(config.schemas, settings.page_max_events, settings.page_max_bytes)


@contextlib.contextmanager
def serve_page(settings: Settings, feed: Feed | None, collector_url: str) -> Iterator[str]:
    """Serve the page during the block; the value is its address, or empty if there is none.

    Args:
        settings: where, and under which names.
        feed: what is shown; it is closed at the end.
        collector_url: where events are posted.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    if settings.page_listen is None or feed is None:
        yield ""
        return
    own = dataclasses.replace(settings, listen=settings.page_listen, max_connections=MAX_CONNECTIONS)
    server = Server(PageApplication(feed, settings.page_hosts, collector_url), own, tls=None)
    try:
        server.start()
    except OSError as error:
        reason = f"cannot be listened on: {error.strerror or error}; choose another port, or 0 for a free one"
        raise ConfigError("collector", _KEY, _join(settings.page_listen), reason) from error
    try:
        if not _is_loopback(settings.page_listen[0]):
            logger.warning("page.listen: whoever reaches %s sees every event, without a password", server.url)
        yield server.url
    finally:
        feed.close()
        server.finish()


def _join(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
