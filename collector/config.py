"""The collector's INI file: `[collector]` as one frozen dataclass, `[keys]` as the secrets of each name.

`deploy/collector.ini` lists every key with its default and says what it is for.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from eventpub.collector.events.schemas import DEFAULT_KEY, Schemas
from eventpub.collector.events.schemas import SECTION as SCHEMAS_SECTION
from eventpub.collector.store.address import StoreAddress, store_address
from eventpub.errors import ConfigError, suggest_install
from eventpub.process import logs
from eventpub.settings import address, ini
from eventpub.wire import http_signature

if TYPE_CHECKING:
    import configparser
    import os
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SECTION = "collector"
KEYS_SECTION = "keys"

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3
_DAY_SECONDS = 24 * 60 * 60.0
_WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _tcp_endpoint() -> ini.Kind[tuple[str, int]]:
    endpoint = address.endpoint()

    def parse(value: str) -> tuple[str, int]:
        host, colon, port = value.rpartition(":")
        parsed = endpoint.parse(f"0.0.0.0:{port}" if host == "*" and colon else value)
        if isinstance(parsed, str):
            raise ValueError  # noqa: TRY004, what a Kind raises
        return parsed

    return ini.Kind(
        parse,
        "host:port or [ipv6]:port; *:port is 0.0.0.0:port, [::]:port has IPv6 too; port 0 takes a free one",
    )


def _host_names() -> ini.Kind[tuple[str, ...]]:
    name = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?")

    def parse(value: str) -> tuple[str, ...]:
        names = tuple(value.lower().replace(",", " ").split())
        if not all(map(name.fullmatch, names)):
            raise ValueError
        return names

    return ini.Kind(parse, "names such as collector or events.example.com, separated by blanks or commas")


def _networks() -> ini.Kind[tuple[Network, ...]]:
    def parse(value: str) -> tuple[Network, ...]:
        return tuple(map(ipaddress.ip_network, value.replace(",", " ").split()))

    return ini.Kind(parse, "addresses or networks such as 10.0.0.0/8, ::1, separated by blanks or commas")


def _keep_kind() -> ini.Kind[float]:
    seconds = ini.seconds(60, 36_500 * _DAY_SECONDS)
    return ini.Kind(
        lambda value: 0.0 if value == "forever" else seconds.parse(value), f"forever, or {seconds.allowed}"
    )


def _web_addresses() -> ini.Kind[tuple[str, ...]]:
    """Addresses of web servers, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        urls = tuple(part.strip().rstrip("/") for part in text.split(","))
        if not all(map(_WEB_ADDRESS.fullmatch, urls)):
            raise ValueError
        return urls

    return ini.Kind(parse, "http://HOST:PORT, several separated by commas")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The `[collector]` section.

    Bodies on their way in take `max_connections` x `max_compressed_bytes` of memory at most; those that are
    unpacked, parsed or wait for the store take up to 27 times `max_pending_bytes`: `[],` becomes 72 bytes.
    """

    listen: tuple[str, int] = ini.setting("listen", _tcp_endpoint(), default=("127.0.0.1", 8080))

    # --- the store; its text is never shown, since it may contain a password
    store: StoreAddress = ini.setting(
        "store", store_address(), default=StoreAddress("sqlite", "events.sqlite"), secret=True
    )
    store_path: Path | None = ini.setting("store.path", ini.path(), default=None)  # as `store` was called first
    # how long an engine may take for each answer: a cluster that loses its leader takes up to 5 s
    store_timeout_seconds: float = ini.setting("store.timeout", ini.seconds(0.1, 300), default=5.0)
    # of a stream that is made: as many copies as survive the loss of one server
    store_replicas: int = ini.setting("store.replicas", ini.integer(1, 5), default=3)
    store_max_bytes: int = ini.setting("store.max_size", ini.size(_MIB, 1024 * _GIB), default=10 * _GIB)
    store_keep_seconds: float = ini.setting("store.keep", _keep_kind(), default=0.0)
    store_credentials: Path | None = ini.setting("store.credentials", ini.path(), default=None)
    store_monitoring: tuple[str, ...] = ini.setting("store.monitoring", _web_addresses(), default=())
    # full: a 2xx is sent after an fsync, so it outlives a power cut; normal: it outlives the process
    store_synchronous: str = ini.setting("store.synchronous", ini.choice("full", "normal"), default="full")
    # how long another process may hold the file before the answer is 503: less than any sender's patience
    store_busy_timeout_seconds: float = ini.setting("store.busy_timeout", ini.seconds(0, 60), default=1.0)
    # longer than a spool is likely to wait before it is sent once more
    dedupe_memory_seconds: float = ini.setting(
        "dedupe.memory", ini.seconds(1, 3650 * _DAY_SECONDS), default=30 * _DAY_SECONDS
    )

    # --- signatures
    require_signature: str = ini.setting("require_signature", ini.choice("any", "rfc9421"), default="any")
    # baseplate's publisher sends a batch for 5 min under one date; the rest is for clocks that differ
    replay_window_seconds: float = ini.setting("replay.window", ini.seconds(0, _DAY_SECONDS), default=10 * 60.0)

    # --- sizes
    # twice what a batch has uncompressed (500 KiB), so that one comes through however badly it compresses
    max_compressed_bytes: int = ini.setting("max_compressed_size", ini.size(_KIB, _GIB), default=1 * _MIB)
    max_body_bytes: int = ini.setting("max_body_size", ini.size(_KIB, _GIB), default=8 * _MIB)
    # all that are unpacked and not yet answered, or the largest alone: 32 of the sidecar's usual 500 KiB
    max_pending_bytes: int = ini.setting("max_pending_size", ini.size(_KIB, 64 * _GIB), default=16 * _MIB)
    # of 84 bytes in the largest body; in one of the sidecar's usual 500 KiB it is never reached
    max_events: int = ini.setting("max_events", ini.integer(1, 10_000_000), default=100_000)
    # of one event as it is stored; a queue takes 100 KiB, field names and numbers may be longer written out
    max_event_bytes: int = ini.setting("max_event_size", ini.size(64, _GIB), default=256 * _KIB)
    max_head_bytes: int = ini.setting("max_head_size", ini.size(256, _MIB), default=16 * _KIB)
    # half of the 1,024 descriptors a process usually gets; for more, those silent longest are closed
    max_connections: int = ini.setting("max_connections", ini.integer(1, 100_000), default=512)
    # whose X-Forwarded-For the access log believes
    proxies: tuple[Network, ...] = ini.setting("proxies", _networks(), default=())

    # --- schemas
    # an application may be newer than its collector: what [schemas] does not know is kept, unless it is refused
    schema_strict: bool = ini.setting("schema.strict", ini.boolean(), default=False)

    # --- the page; everyone who reaches its port sees every event
    page_listen: tuple[str, int] | None = ini.setting("page.listen", _tcp_endpoint(), default=None)
    page_hosts: tuple[str, ...] = ini.setting("page.hosts", _host_names(), default=())
    # as many as a browser holds and filters without a pause, and the memory that these may take here
    page_max_events: int = ini.setting("page.max_events", ini.integer(1, 1_000_000), default=100_000)
    page_max_bytes: int = ini.setting("page.max_size", ini.size(_MIB, 16 * _GIB), default=64 * _MIB)

    # --- times
    idle_timeout_seconds: float = ini.setting("timeout.idle", ini.seconds(0.05, 3600), default=75.0)
    head_timeout_seconds: float = ini.setting("timeout.head", ini.seconds(0.05, 3600), default=10.0)
    body_timeout_seconds: float = ini.setting("timeout.body", ini.seconds(0.05, 3600), default=30.0)
    stop_timeout_seconds: float = ini.setting("timeout.stop", ini.seconds(0, 3600), default=10.0)

    # --- TLS
    tls_certificate: Path | None = ini.setting("tls.certificate", ini.path(), default=None)
    tls_key: Path | None = ini.setting("tls.key", ini.path(), default=None)
    tls_client_ca: Path | None = ini.setting("tls.client_ca", ini.path(), default=None)

    # --- looking at it
    status_listen: tuple[str, int] | str | None = ini.setting("status.listen", address.endpoint(), default=None)
    # more than a call of a store takes that ends by itself: several answers, and the commit of a slow disk
    watchdog_timeout_seconds: float = ini.setting("watchdog.timeout", ini.seconds(1, 3600), default=60.0)

    # --- the log
    log_format: str = ini.setting("log.format", logs.FORMAT, default="text")
    log_level: str = ini.setting("log.level", logs.LEVEL, default="info")

    # --- for tests
    faults: Path | None = ini.setting("faults", ini.path(), default=None)

    @property
    def store_address(self) -> StoreAddress:
        """Return where events go."""
        return self.store if self.store_path is None else StoreAddress("sqlite", str(self.store_path))

    @property
    def hung_seconds(self) -> float:
        """Return how long a store, or a worker, may make no progress until it is said to hang."""
        patience_seconds = max(self.store_timeout_seconds, self.store_busy_timeout_seconds)
        return max(self.watchdog_timeout_seconds, 2 * patience_seconds)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything the file says.

    Attributes:
        settings: the `[collector]` section.
        secrets: the `[keys]` section: the secrets of each name. Names are in lower case, as INI keys are.
        schemas: the `[schemas]` section: what version 2 events of each key are.
    """

    settings: Settings
    secrets: Mapping[str, tuple[bytes, ...]] = dataclasses.field(repr=False)
    schemas: Schemas


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read the collector's INI file.

    Raises:
        ConfigError: the file, a section, a key or a value of it cannot be used.
    """
    parser = ini.load_file(path)
    settings = ini.read_section(parser, SECTION, Settings)
    for key, path_ in (("tls.key", settings.tls_key), ("tls.client_ca", settings.tls_client_ca)):
        if path_ is not None and settings.tls_certificate is None:
            raise ConfigError(SECTION, key, str(path_), "needs tls.certificate; set it too")
    if settings.store_path is not None and parser.has_option(SECTION, "store"):
        raise ConfigError(SECTION, "store.path", str(settings.store_path), "set store or store.path, not both")
    if settings.dedupe_memory_seconds < 2 * settings.replay_window_seconds:  # a date may be ahead, then behind
        allowed = "expected at least twice replay.window, or a recorded request could be stored again"
        raise ConfigError(SECTION, "dedupe.memory", f"{settings.dedupe_memory_seconds:g}", allowed)
    if settings.require_signature == "rfc9421" and not http_signature.INSTALLED:
        allowed = f"its package is not installed: {suggest_install('rfc9421')}"
        raise ConfigError(SECTION, "require_signature", "rfc9421", allowed)
    secrets: dict[str, tuple[bytes, ...]] = {}
    for written, text in ini.section_items(parser, KEYS_SECTION, is_secret=True).items():
        name = unquote(written).lower()  # an INI file has no other way to write : or = in a key
        if name in secrets:
            raise ConfigError(
                KEYS_SECTION, ini.show_key(written), "", "is the same name as another one; keep one"
            )
        if written not in parser.defaults():
            secrets[name] = _parse_secrets(written, text)
    if not secrets:
        raise ConfigError(KEYS_SECTION, "", "", "names no key; add one as NAME = SECRET IN BASE64")
    return Config(settings=settings, secrets=secrets, schemas=_load_schemas(parser, secrets))


def _load_schemas(parser: configparser.RawConfigParser, keys: Iterable[str]) -> Schemas:
    if not parser.has_section(SCHEMAS_SECTION):
        return Schemas()
    named = {
        unquote(name).lower(): ini.expand_variables(SCHEMAS_SECTION, name, text).strip()
        for name, text in ini.section_items(parser, SCHEMAS_SECTION).items()
        if name not in parser.defaults()
    }
    for name in named:
        if name not in (DEFAULT_KEY, *keys):
            allowed = f"expected {DEFAULT_KEY}, or a name of [{KEYS_SECTION}]: {', '.join(sorted(keys))}"
            raise ConfigError(SCHEMAS_SECTION, ini.show_key(name), "", allowed)  # [keys] may stand above it
    return Schemas(named)


def _parse_secrets(name: str, text: str) -> tuple[bytes, ...]:
    secret = ini.base64_bytes()
    words = ini.expand_variables(KEYS_SECTION, name, text).split()
    try:
        secrets = tuple(map(secret.parse, words))
    except ValueError:
        secrets = ()
    if not secrets:
        raise ConfigError(
            KEYS_SECTION, ini.show_key(name), ini.NOT_SHOWN, f"expected one or more of {secret.allowed}"
        )
    return secrets
