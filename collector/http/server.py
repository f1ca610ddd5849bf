"""The listening socket: connections up to a number, TLS, and an end that lets requests finish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gevent import pywsgi

from eventpub.collector.telemetry.counts import Counts

from .connection import Connection
from .table import ConnectionTable
from .tls import Handshake

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from eventpub.collector.config import Settings

logger = logging.getLogger(__name__)

_BACKLOG = 4096  # connections to be accepted; for one too many the kernel has its sender wait for 1 s


class Server(pywsgi.WSGIServer):  # type: ignore[misc]  # gevent has no types
    """Serves a WSGI application where the settings say.

    Args:
        application: what answers requests.
        settings: the address, limits and timeouts.
        tls: what `tls_context` returned; None serves plain HTTP.
        listener: a socket that listens, in place of the address.

    Attributes:
        settings: as given; connections keep the limits in it.
        tls: of the connections to come; another context may be put in its place.
        table: the connections.
        counts: what is counted.
    """

    max_accept = 1  # at a time: the table is asked for room only when a connection waits for it

    def __init__(
        self, application: WSGIApplication, settings: Settings, tls: Any, listener: Any = None
    ) -> None:
        self.settings = settings
        self.tls = tls
        self.table = ConnectionTable(settings.max_connections)
        self.counts = Counts()
        super().__init__(
            settings.listen if listener is None else listener,
            application,
            backlog=_BACKLOG if listener is None else None,
            spawn=self.table,
            log=None,  # connections write the access log
            error_log=logger,
            # without a name, pywsgi would ask the DNS for one
            environ={"SERVER_NAME": settings.listen[0], "wsgi.url_scheme": "https" if tls else "http"},
        )

    @property
    def url(self) -> str:
        """Return what it listens on, with the port it really got."""
        host, port = self.address[:2]
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def handle(self, client: Any, address: tuple[Any, ...]) -> None:
        """Serve one connection."""
        if self.tls is None:
            Connection(client, address, self).handle()
            return
        secured = Handshake(self.tls, client, address).run(
            self.table,
            idle_seconds=self.settings.idle_timeout_seconds,
            seconds=self.settings.head_timeout_seconds,
        )
        if secured is not None:
            with secured:
                Connection(secured, address, self).handle()

    def finish(self) -> int:
        """Take no more connections, let requests finish in bounded time; return how many did not."""
        self.close()
        self.table.close()
        self.table.join(timeout=self.settings.stop_timeout_seconds)
        cut_off = len(self.table)
        self.table.kill(timeout=1)
        return cut_off
