"""Reads a configuration file, and goes through what it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.cli.findings import Finding, Level
from eventpub.errors import ConfigError
from eventpub.sidecar.config import SECTION_PREFIX, load_config
from eventpub.sidecar.host import default_spool_dir
from eventpub.sidecar.http.certificates import check_certificates
from eventpub.sidecar.queue_choice import list_sidecars

from .collector import check_collector
from .queue import check_queue
from .sidecars import check_sidecars
from .spool import check_spool
from .statsd import check_statsd

if TYPE_CHECKING:
    from collections.abc import Iterator


def list_queues(config_file: str) -> list[str]:
    """Return the queues of the sidecars that a file configures.

    Raises:
        ConfigError: it cannot be read.
    """
    return list_sidecars(config_file)


def examine_config(config_file: str, queue_name: str) -> Iterator[Finding]:
    """Try all that the sidecar of a queue needs; what cannot be tried is told as what it is."""
    section = SECTION_PREFIX + queue_name
    try:
        config = load_config(config_file, queue_name)
    except ConfigError as error:
        yield Finding(Level.FAILING, f"{config_file}: {error}")
        return
    key, text = None, ""
    try:
        check_certificates(config, section)
        key = config.signing_key()
    except ConfigError as error:
        text = f"{config_file}: {error}"
    yield Finding(Level.FAILING, text) if text else Finding(Level.OK, f"{config_file}: [{section}] can be used")
    if exposure := config.exposure():
        yield Finding(Level.WARNING, *exposure.split("; run: "))
    yield from check_queue(config, queue_name)
    words = f"--queue-name {queue_name} {config_file}"
    yield from check_spool(config, queue_name, words=words)
    yield from check_sidecars(config.spool_dir or default_spool_dir(), queue_name, words=words)
    yield from check_collector(config, key)
    yield from check_statsd(config)
