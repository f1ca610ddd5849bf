"""Settings -> the store of the engine that they name; its client library is loaded only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.collector.store.monitoring import warn_of_late_syncs
from eventpub.collector.store.sqlite import SqliteStore
from eventpub.errors import ConfigError, suggest_install

if TYPE_CHECKING:
    from eventpub.collector.store import Store

    from .config import Settings

_EXTRAS = {"nats": "nats", "kafka": "kafka", "postgresql": "postgresql"}


def open_store(settings: Settings) -> Store:
    """Open the store; call it in the thread that will use it.

    Raises:
        ConfigError: it cannot be used, or its client library is not installed.
        NotYetError: it does not answer yet.
    """
    address = settings.store_address
    try:
        return _open_engine(settings)
    except ModuleNotFoundError as error:
        if address.engine not in _EXTRAS:
            raise
        reason = f"needs a client library ({error.name}): {suggest_install(_EXTRAS[address.engine])}"
        raise ConfigError("collector", "store", str(address), reason) from error


def _open_engine(settings: Settings) -> Store:
    address = settings.store_address
    if address.engine == "nats":
        from eventpub.collector.store.jetstream import JetStreamStore  # noqa: PLC0415, an extra

        store = JetStreamStore(
            address,
            replicas=settings.store_replicas,
            max_bytes=settings.store_max_bytes,
            timeout_seconds=settings.store_timeout_seconds,
            dedupe_memory_seconds=settings.dedupe_memory_seconds,
            keep_seconds=settings.store_keep_seconds,
            credentials=settings.store_credentials,
        )
        warn_of_late_syncs(settings.store_monitoring, settings.store_timeout_seconds)
        return store
    if address.engine == "kafka":
        from eventpub.collector.store.kafka import KafkaStore  # noqa: PLC0415, an extra

        return KafkaStore(
            address, timeout_seconds=settings.store_timeout_seconds, max_event_bytes=settings.max_event_bytes
        )
    if address.engine == "postgresql":
        from eventpub.collector.store.postgresql import PostgresqlStore  # noqa: PLC0415, an extra

        return PostgresqlStore(
            address,
            timeout_seconds=settings.store_timeout_seconds,
            dedupe_memory_seconds=settings.dedupe_memory_seconds,
            keep_seconds=settings.store_keep_seconds,
        )
    return SqliteStore(
        address.path,
        synchronous=settings.store_synchronous,
        busy_timeout_seconds=settings.store_busy_timeout_seconds,
        dedupe_memory_seconds=settings.dedupe_memory_seconds,
        keep_seconds=settings.store_keep_seconds,
    )
