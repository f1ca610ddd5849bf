"""The files that TLS needs, looked at before anything is sent: `--check-config`."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from eventpub.errors import ConfigError

if TYPE_CHECKING:
    from eventpub.sidecar.config import SidecarConfig


def check_certificates(config: SidecarConfig, section: str) -> None:
    """Load the authorities, the client's certificate and its key as a connection would.

    Raises:
        ConfigError: one of the files cannot be used, or the key is that of another certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if config.collector_ca_file:
        try:
            context.load_verify_locations(config.collector_ca_file)
        except OSError as error:
            allowed = f"holds no certificate in PEM form ({_tell_reason(error)})"
            raise ConfigError(section, "collector.ca_file", str(config.collector_ca_file), allowed) from error
    certificate, key = config.collector_client_certificate, config.collector_client_key
    if certificate:
        name, value = ("collector.client_key", key) if key else ("collector.client_certificate", certificate)
        try:
            context.load_cert_chain(certificate, key, password="")  # or ssl would ask at the terminal
        except OSError as error:
            allowed = (
                f"certificate and key cannot be used together ({_tell_reason(error)}): give PEM files of a "
                "certificate and of its own key, without a password"
            )
            raise ConfigError(section, name, str(value), allowed) from error


def _tell_reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (reason or str(error)).lower().replace("_", " ")
