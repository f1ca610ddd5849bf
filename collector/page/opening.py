"""Opens the page's port beside the collector's."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
from typing import TYPE_CHECKING

from eventpub.collector.http.server import Server

from .serving import MAX_CONNECTIONS, PageApplication

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.collector.config import Settings

    from .feed import Feed

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def serve_page(settings: Settings, feed: Feed, collector_url: str) -> Iterator[str]:
    """Serve the page during the block; the value is its address.

    Args:
        settings: where, and under which names.
        feed: what is shown; it is closed at the end.
        collector_url: where events are posted.

    Raises:
        OSError: the address cannot be listened on.
    """
    assert settings.page_listen is not None  # noqa: S101, the caller asked
    own = dataclasses.replace(settings, listen=settings.page_listen, max_connections=MAX_CONNECTIONS)
    server = Server(PageApplication(feed, settings.page_hosts, collector_url), own, tls=None)
    server.start()
    try:
        if not _is_loopback(settings.page_listen[0]):
            logger.warning(
                "page.listen = %s: whoever reaches %s sees every event, without a password",
                settings.page_listen[0],
                server.url,
            )
        yield server.url
    finally:
        feed.close()
        server.finish()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
