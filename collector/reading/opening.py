"""Address -> the reader of its engine, whose client library is loaded only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.collector.errors import StoreReadError
from eventpub.errors import suggest_install

if TYPE_CHECKING:
    from eventpub.collector.store.address import StoreAddress

    from .reader import Reader


def open_reader(address: StoreAddress, *, write: bool = False) -> Reader:
    """Open a store to be read, or to be trimmed too.

    Raises:
        StoreReadError: it cannot be read.
    """
    try:
        return _open_engine(address, write=write)
    except ModuleNotFoundError as error:
        reason = f"its client library is not installed: {suggest_install(address.engine)}"
        raise StoreReadError(str(address), reason) from error


def _open_engine(address: StoreAddress, *, write: bool) -> Reader:
    if address.engine == "sqlite":
        from .sqlite import SqliteReader  # noqa: PLC0415, one of the three

        return SqliteReader(address, write=write)
    if address.engine == "postgresql":
        from .postgresql import PostgresqlReader  # noqa: PLC0415, an extra

        return PostgresqlReader(address)
    if address.engine == "nats":
        from .jetstream import JetStreamReader  # noqa: PLC0415, an extra

        return JetStreamReader(address)
    raise StoreReadError(str(address), "a topic of Kafka is read by its consumers; see docs/stores.md")
