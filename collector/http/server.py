"""The listening socket: connections up to a number, TLS, and an end that lets requests finish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gevent
import gevent.pool
import gevent.ssl
from gevent import pywsgi

from eventpub.collector.config import SECTION
from eventpub.errors import ConfigError

from .connection import Connection

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from eventpub.collector.config import Settings

logger = logging.getLogger(__name__)


class Server(pywsgi.WSGIServer):  # type: ignore[misc]  # gevent has no types
    """Serves a WSGI application where the settings say.

    Args:
        application: what answers requests.
        settings: the address, limits and timeouts.
        tls: what `tls_context` returned; None serves plain HTTP.

    Attributes:
        settings: as given; connections keep the limits in it.
        stopping: whether connections end with the request they are in.
        idle: the connections that are in no request.
    """

    handler_class = Connection

    def __init__(self, application: WSGIApplication, settings: Settings, tls: Any) -> None:
        self.settings = settings
        self.stopping = False
        self.idle: set[Connection] = set()
        super().__init__(
            settings.listen,
            application,
            spawn=gevent.pool.Pool(settings.max_connections),  # the kernel keeps the others waiting
            log=None,  # connections write the access log
            error_log=logger,
            environ={"SERVER_NAME": settings.listen[0]},  # pywsgi would ask the DNS
            **({"ssl_context": tls} if tls else {}),
        )

    @property
    def url(self) -> str:
        """Return what it listens on, with the port it really got."""
        host, port = self.address[:2]
        return f"{'https' if self.ssl_enabled else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Shake hands within the time that a head may take, then serve."""
        late = TimeoutError("the handshake did not end in time")
        try:
            with gevent.Timeout(self.settings.head_timeout_seconds, late):
                tls_socket = self.wrap_socket(client_socket, **self.ssl_args)
        except OSError as error:  # which SSLError is, too
            logger.info("handshake failed client=%s reason=%r", address[0], str(error))
            return
        with tls_socket:
            self.handle(tls_socket, address)

    def finish(self) -> int:
        """Take no more connections, let requests finish in bounded time; return how many did not."""
        self.stopping = True
        self.close()
        for connection in tuple(self.idle):
            connection.end_idling()
        self.pool.join(timeout=self.settings.stop_timeout_seconds)
        cut_off = len(self.pool)
        self.pool.kill(timeout=1)
        return cut_off


def tls_context(settings: Settings) -> Any:
    """Return the TLS context that the settings ask for, or None.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """
    if settings.tls_certificate is None:
        return None
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = gevent.ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = gevent.ssl.CERT_REQUIRED
    except OSError as error:  # missing files, and SSLError
        paths = (settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        files = ", ".join(str(path) for path in paths if path)
        hint = "" if settings.tls_key else "; name the file with its key in tls.key, if it stands apart"
        raise ConfigError(SECTION, "tls.certificate", files, f"cannot be loaded: {error}{hint}") from error
    return context
