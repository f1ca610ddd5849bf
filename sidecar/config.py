"""`[event-publisher:NAME]` of an INI file -> `SidecarConfig`: every key, its unit, its range, its default.

A section that contradicts itself is refused here, before the sidecar touches the queue. Keys of
reddit/baseplate.py's event publisher keep their names, meanings and defaults. The secret is never shown; a
secret in a file of its own is read at every use, so that a rotated key works without a reload.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import stat
from typing import TYPE_CHECKING, Literal, cast

from eventpub.errors import ConfigError, NotYetError, suggest_install
from eventpub.process import logs
from eventpub.settings import address, ini
from eventpub.wire import CONTAINER_OVERHEAD, MAX_EVENT_SIZE, VERSIONS, http_signature
from eventpub.wire.signing import Scheme, SigningKey

from .secret_file import find_exposure, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECTION_PREFIX = "event-publisher:"

_KIB, _MIB, _GIB, _TIB = 1024, 1024**2, 1024**3, 1024**4
DEAD_LETTERS_MAX_BYTES = 100 * _MIB
_OWNERS = stat.S_IRUSR | stat.S_IWUSR


def _interval_kind() -> ini.Kind[float]:
    seconds = ini.seconds(0, 86_400)

    def parse(value: str) -> float:
        interval_seconds = seconds.parse(value)
        if 0 < interval_seconds < 1:  # the sidecar looks once a second
            raise ValueError
        return interval_seconds

    return ini.Kind(parse, f"0 for never, or {ini.seconds(1, 86_400).allowed}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SidecarConfig:
    """The settings of one sidecar; `example.ini` says what each is for."""

    # --- the collector
    collector_hostname: str = ini.setting("collector.hostname", address.server())
    collector_path: str = ini.setting(
        "collector.path",
        ini.text("a path from / without a / at its end", r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+"),
        default="",
    )
    collector_version: str = ini.setting("collector.version", ini.choice(*VERSIONS), default="2")
    collector_scheme: Literal["https", "http"] = ini.setting(
        "collector.scheme", ini.choice("https", "http"), default="https"
    )
    collector_timeout_seconds: float = ini.setting("collector.timeout", ini.seconds(0.05, 600), default=10.0)
    collector_ca_file: Path | None = ini.setting("collector.ca_file", ini.path(), default=None)
    collector_client_certificate: Path | None = ini.setting(
        "collector.client_certificate", ini.path(), default=None
    )
    collector_client_key: Path | None = ini.setting("collector.client_key", ini.path(), default=None)

    collector_connection_max_age_seconds: float = ini.setting(
        "collector.connection_max_age", ini.seconds(1, 86_400), default=300.0
    )
    collector_require_receipt: bool = ini.setting("collector.require_receipt", ini.boolean(), default=False)

    # --- the key; none of it is shown, since a secret may be written in the wrong one of them
    key_name: str = ini.setting(
        "key.name",
        ini.text("printable ASCII without blanks and commas", r"[!-+\--~]+"),
        secret=True,
    )
    key_secret: bytes | None = ini.setting("key.secret", ini.base64_bytes(), default=None, secret=True)
    key_secret_file: Path | None = ini.setting("key.secret_file", ini.path(), default=None, secret=True)
    key_signature: Scheme = ini.setting(
        "key.signature", ini.choice("x-signature", "rfc9421", "both"), default="x-signature", secret=True
    )

    # --- the queue; unset sizes are the largest that this kernel grants
    max_queue_size_events: int | None = ini.setting(
        "max_queue_size", ini.integer(1, 65_536), default=None, live=False
    )  # HARD_MSGMAX
    max_message_size_bytes: int | None = ini.setting(
        "max_message_size", ini.size(128, MAX_EVENT_SIZE), default=None, live=False
    )
    queue_mode: int = ini.setting("queue.mode", ini.file_mode(), default=0o600, live=False)
    queue_group: str | None = ini.setting(
        "queue.group", ini.text("the name of a group"), default=None, live=False
    )

    # --- a batch; one event of the largest size must fit in
    batch_max_size_bytes: int = ini.setting(
        "batch.max_size", ini.size(MAX_EVENT_SIZE + CONTAINER_OVERHEAD, 64 * _MIB), default=500 * _KIB
    )
    batch_max_age_seconds: float = ini.setting("batch.max_age", ini.seconds(0.01, 3600), default=1.0)

    # --- sending
    publisher_concurrency: int = ini.setting("publisher.concurrency", ini.integer(1, 64), default=4)
    compression: Literal["auto", "zstd", "gzip", "none"] = ini.setting(
        "compression", ini.choice("auto", "zstd", "gzip", "none"), default="auto"
    )
    retry_min_seconds: float = ini.setting("retry.min", ini.seconds(0.01, 3600), default=1.0)
    retry_max_seconds: float = ini.setting("retry.max", ini.seconds(0.01, 3600), default=30.0)
    shutdown_grace_seconds: float = ini.setting("shutdown.grace", ini.seconds(0, 3600), default=0.0)
    shutdown_timeout_seconds: float = ini.setting("shutdown.timeout", ini.seconds(0, 3600), default=5.0)

    # --- the spool
    spool_dir: Path | None = ini.setting("spool.dir", ini.path(is_absolute=True), default=None, live=False)
    spool_max_size_bytes: int = ini.setting(
        "spool.max_size", ini.size(4 * _MIB, 1024 * _TIB), default=1 * _GIB, live=False
    )
    spool_fsync: Literal["seal", "never"] = ini.setting(
        "spool.fsync", ini.choice("seal", "never"), default="seal", live=False
    )
    spool_when_full: Literal["block", "drop_oldest", "drop_newest"] = ini.setting(
        "spool.when_full", ini.choice("block", "drop_oldest", "drop_newest"), default="block"
    )
    dead_letters_max_size_bytes: int = ini.setting(
        "dead_letters.max_size", ini.size(1 * _MIB, 1024 * _TIB), default=DEAD_LETTERS_MAX_BYTES, live=False
    )
    dead_letters_when_full: Literal["block", "drop"] = ini.setting(
        "dead_letters.when_full", ini.choice("block", "drop"), default="block", live=False
    )

    # --- loss reports; 0 = never
    loss_report_interval_seconds: float = ini.setting("loss_report.interval", _interval_kind(), default=0.0)

    # --- statsd
    metrics_namespace: str = ini.setting(
        "metrics.namespace",
        ini.text("printable ASCII without blanks, colons, bars and @", r"[!-9;-?A-{}~]+"),
        default="",
        live=False,
    )
    metrics_endpoint: tuple[str, int] | str | None = ini.setting(
        "metrics.endpoint", address.endpoint(), default=None, live=False
    )

    # --- looking at it
    status_listen: tuple[str, int] | str | None = ini.setting(
        "status.listen", address.endpoint(), default=None, live=False
    )
    status_overdue_seconds: float = ini.setting("status.overdue", ini.seconds(1, 86_400), default=60.0)
    watchdog_timeout_seconds: float = ini.setting(
        "watchdog.timeout", _interval_kind(), default=60.0, live=False
    )  # six times what a busy disk takes at worst

    # --- the log
    log_format: Literal["text", "json"] = ini.setting("log.format", logs.FORMAT, default="text")
    log_level: str = ini.setting("log.level", logs.LEVEL, default="info")

    # --- accepted so that baseplate's files work, without effect
    metrics_log_if_unconfigured: bool = ini.setting("metrics.log_if_unconfigured", ini.boolean(), default=False)
    metrics_swallow_network_errors: bool = ini.setting(
        "metrics.swallow_network_errors", ini.boolean(), default=False
    )
    metrics_tagging: bool = ini.setting("metrics.tagging", ini.boolean(), default=False)

    @property
    def collector_url(self) -> str:
        """Where batches are posted that are received now."""
        return self.collector_url_of(self.collector_version)

    def collector_url_of(self, version: str) -> str:
        """Return where batches of this version of the wire are posted."""
        return f"{self.collector_scheme}://{self.collector_hostname}{self.collector_path}/v{version}"

    def signing_key(self, *, settled_seconds: float = 0.0) -> SigningKey:
        """Return the key to sign the next attempt with, read again if it is in a file.

        Args:
            settled_seconds: how long the file must have been unchanged: half of a key that is being written may
                be a valid key too.

        Raises:
            NotYetError: there is no such file, or nothing in it, yet.
            ConfigError: the file cannot be read now, has just been changed, or is not base64; its content is
            not
                shown.
        """
        if self.key_secret is not None:
            return SigningKey(self.key_name, self.key_secret, self.key_signature)
        file = cast("Path", self.key_secret_file)  # load_config has checked that one of the two is set
        return SigningKey(self.key_name, read_secret(file, settled_seconds), self.key_signature)

    def exposure(self) -> str | None:
        """Return who else may read or replace the secret's file, with the command to fix that, or None."""
        return None if self.key_secret_file is None else find_exposure(self.key_secret_file)


def load_config(path: str | os.PathLike[str], queue_name: str) -> SidecarConfig:
    """Read the settings of the sidecar of queue `queue_name`; `key.secret_file` is not opened yet.

    Raises:
        NotYetError: a file that it names is not there yet.
        ConfigError: the file or its section `[event-publisher:QUEUE_NAME]` cannot be used.
    """
    section = SECTION_PREFIX + queue_name
    config = ini.read_section(ini.load_file(path), section, SidecarConfig)
    for key, value, allowed in _find_contradictions(config):
        raise ConfigError(section, key, value, allowed)
    for name in ("ca_file", "client_certificate", "client_key"):
        file: Path | None = getattr(config, f"collector_{name}")
        if file and not os.access(file, os.R_OK, effective_ids=True):
            kind = ConfigError if os.path.lexists(file) else NotYetError
            raise kind(section, f"collector.{name}", str(file), "is not a file that this user may read")
    return config


def _find_contradictions(config: SidecarConfig) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and what is allowed for every setting that contradicts others."""
    if (config.key_secret is None) == (config.key_secret_file is None):
        yield "key.secret", "", "set either key.secret or key.secret_file, not both"
    if config.collector_client_key and not config.collector_client_certificate:
        yield "collector.client_key", str(config.collector_client_key), "needs collector.client_certificate"
    if config.queue_mode & _OWNERS != _OWNERS:
        yield (
            "queue.mode",
            f"{config.queue_mode:04o}",
            "its owner must be able to read and write: at least 0600",
        )
    if config.retry_max_seconds < config.retry_min_seconds:
        allowed = f"expected at least retry.min, {config.retry_min_seconds:g} seconds"
        yield "retry.max", f"{config.retry_max_seconds:g}", allowed
    if config.spool_max_size_bytes < 2 * config.batch_max_size_bytes:  # one batch fills while another is sent
        allowed = f"expected at least twice batch.max_size, {2 * config.batch_max_size_bytes:,} bytes"
        yield "spool.max_size", f"{config.spool_max_size_bytes:,}", allowed
    if config.compression == "zstd" and importlib.util.find_spec("zstandard") is None:
        yield "compression", "zstd", f"its package is not installed: {suggest_install('zstd')}"
    if config.key_signature != "x-signature" and not http_signature.INSTALLED:
        allowed = f"its package is not installed: {suggest_install('rfc9421')}"
        yield "key.signature", config.key_signature, allowed
