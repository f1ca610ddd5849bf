"""A store in a thread of its own, so that an fsync never stops the server; calls run one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent.threadpool import ThreadPool

from eventpub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import Health, IncomingBatch, Receipt, Store


class StoreThread:
    """A `Store` around the one that `open_store` returns; whatever that raises, the constructor raises."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._thread = ThreadPool(1)
        opened: Store | ConfigError = self._thread.apply(_try_open, (open_store,))
        if isinstance(opened, ConfigError):
            raise opened
        self._store = opened

    def add(self, batch: IncomingBatch) -> Receipt:
        """Store a batch, or find that it was stored before."""
        receipt: Receipt = self._thread.apply(self._store.add, (batch,))
        return receipt

    def seen(self, batch: IncomingBatch) -> Receipt | None:
        """Return DUPLICATE for a batch that was stored before, whole or with a parent; None for any other."""
        receipt: Receipt | None = self._thread.apply(self._store.seen, (batch,))
        return receipt

    def health(self) -> Health:
        """Write something, and say whether that worked."""
        health: Health = self._thread.apply(self._store.health)
        return health

    def close(self) -> None:
        """Close the store once all calls before are done."""
        self._thread.apply(self._store.close)
        self._thread.kill()


def _try_open(open_store: Callable[[], Store]) -> Store | ConfigError:
    """Return a refusal as a value: gevent prints the traceback of what its threads raise."""
    try:
        return open_store()
    except ConfigError as error:
        return error
