"""What SIGHUP does: use the keys and the certificate of the changed file, and nothing else."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from eventpub.collector.http.tls import tls_context
from eventpub.errors import ConfigError
from eventpub.process.logs import configure_logs
from eventpub.settings import ini

from . import config

if TYPE_CHECKING:
    from pathlib import Path

    from eventpub.collector.http.server import Server

    from .application import Application

logger = logging.getLogger(__name__)

_LOG_KEYS = {"log.format", "log.level"}
_TLS_KEYS = {"tls.certificate", "tls.key", "tls.client_ca"}


def reload_config(
    path: Path, started: config.Settings, application: Application, server: Server, *, is_debug: bool
) -> None:
    """Use the keys, certificate and log settings that the file has now; if it cannot be used, change nothing.

    Args:
        path: the INI file.
        started: what it said at the start.
        application: gets the keys.
        server: gets the certificate, for connections to come.
        is_debug: whether everything is logged, whatever the file says.
    """
    try:
        loaded = config.load_config(path)
    except ConfigError as error:
        logger.error("reload failed, the old keys stay: %s", error)  # noqa: TRY400, no traceback
        return
    application.use_keys(loaded.secrets)
    configure_logs(loaded.settings.log_format, "debug" if is_debug else loaded.settings.log_level)
    changed = ini.changed_keys(started, loaded.settings) - _LOG_KEYS
    if server.tls is not None and loaded.settings.tls_certificate is not None:
        changed -= _TLS_KEYS
        _reload_certificate(loaded.settings, server)
    for key in sorted(changed):
        logger.warning("reload: a change of %s takes effect at the next start", key)
    logger.info("reloaded file=%s keys=%s", path, ",".join(loaded.secrets))


def reload_log(path: Path, *, is_debug: bool) -> None:
    """Use the log settings that the file has now; the workers say it where it cannot be used."""
    with contextlib.suppress(ConfigError):
        settings = config.load_config(path).settings
        configure_logs(settings.log_format, "debug" if is_debug else settings.log_level)
        logger.info("reloaded the settings of the log file=%s level=%s", path, settings.log_level)


def _reload_certificate(settings: config.Settings, server: Server) -> None:
    try:
        server.tls = tls_context(settings)
    except ConfigError as error:
        logger.error("reload: the old certificate stays: %s", error)  # noqa: TRY400, no traceback
    else:
        logger.info("reload: new connections get the certificate of %s", settings.tls_certificate)
