"""TLS: the context that the settings ask for, and handshakes that keep nobody up."""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import gevent
import gevent.socket
import gevent.ssl

from eventpub.collector.config import SECTION
from eventpub.errors import ConfigError, NotYetError

if TYPE_CHECKING:
    from eventpub.collector.config import Settings

    from .table import ConnectionTable

logger = logging.getLogger(__name__)


def tls_context(settings: Settings) -> Any:
    """Return the TLS context that the settings ask for, or None.

    Raises:
        ConfigError: a certificate or key cannot be used.
        NotYetError: a file cannot be read now.
    """
    if settings.tls_certificate is None:
        return None
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = gevent.ssl.TLSVersion.TLSv1_2
    context.options |= gevent.ssl.OP_NO_RENEGOTIATION  # costs the server far more than the client
    paths = [path for path in (settings.tls_certificate, settings.tls_key, settings.tls_client_ca) if path]
    try:
        for path in paths:
            path.open("rb").close()  # what cannot be read is named here, and not by the context
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = gevent.ssl.CERT_REQUIRED
    except OSError as error:  # missing files, and SSLError
        is_damaged = isinstance(error, gevent.ssl.SSLError)
        reason = f"cannot be loaded: {error}"
        if is_damaged and settings.tls_key is None:
            reason += "; name the file with its key in tls.key, if it is a separate file"
        kind = ConfigError if is_damaged else NotYetError
        raise kind(SECTION, "tls.certificate", ", ".join(map(str, paths)), reason) from error
    return context


class Handshake:
    """The beginning of one TLS connection.

    Args:
        context: what `tls_context` returned.
        client: the socket; nothing was read from it yet.
        address: of the peer, for the log.
    """

    def __init__(self, context: Any, client: Any, address: tuple[Any, ...]) -> None:
        self._context = context
        self._client = client
        self._address = address
        self._gave_way = False

    def run(self, table: ConnectionTable, *, idle_seconds: float, seconds: float) -> Any:
        """Shake hands; return the TLS socket, or None if there is no connection.

        Args:
            table: in which it is idle meanwhile: no request is in flight.
            idle_seconds: how long the first byte may take.
            seconds: how long the rest may take.
        """
        with table.idling(self):
            if not self._begins(idle_seconds):
                return None  # who only looks whether the port is open says nothing
            try:
                self._client = self._context.wrap_socket(
                    self._client, server_side=True, do_handshake_on_connect=False
                )
                with gevent.Timeout(seconds, TimeoutError("the handshake did not end in time")):
                    self._client.do_handshake()
            except OSError as error:  # which SSLError is, too
                self._client.close()
                if not self._gave_way:
                    logger.info("handshake failed client=%s reason=%r", self._address[0], str(error))
                return None
            return self._client

    def give_way(self) -> None:
        """Stop waiting."""
        self._gave_way = True
        with contextlib.suppress(OSError):
            # not the method of an SSLSocket, which would speak to the peer
            gevent.socket.socket.shutdown(self._client, socket.SHUT_RDWR)

    def _begins(self, seconds: float) -> bool:
        self._client.settimeout(seconds)
        try:
            return bool(self._client.recv(1, socket.MSG_PEEK))
        except OSError:
            return False
        finally:
            self._client.settimeout(None)
