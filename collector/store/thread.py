"""A store in a thread of its own, so that an fsync never stops the server; calls run one after the other.

Where the store is locked, each attempt takes its time to find out. Those that waited for one that failed get
its outcome, so all are told within the time of one attempt, however many they are.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import TYPE_CHECKING, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from eventpub.errors import ConfigError
from eventpub.process.threads import end_threads

from . import Health, Outcome, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import IncomingBatch, Store

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LONG_FAILURE_SECONDS = 0.05  # shorter ones are left to whom they concern
_TEND_SECONDS = 1.0  # half a minute less than any server waits for the answer to its ping
_HEALTH_PATIENCE_SECONDS = 0.2  # while a batch is being stored; then what was known before is told

_CLOSING = Receipt(Outcome.UNAVAILABLE, "the collector stops", code="stopping")


class StoreThread:
    """A `Store` around the one that `open_store` returns; whatever that raises, the constructor raises.

    Args:
        open_store: called in the thread.
        close_patience_seconds: how long the end waits for a call that runs.
    """

    def __init__(self, open_store: Callable[[], Store], *, close_patience_seconds: float) -> None:
        self._close_patience_seconds = close_patience_seconds
        self._thread = ThreadPool(1)
        opened: tuple[Store, Health] | ConfigError = self._thread.apply(_try_open, (open_store,))
        if isinstance(opened, ConfigError):
            end_threads(self._thread)
            raise opened
        self._store, self._health = opened
        self._probe: gevent.Greenlet[[], Health] | None = None
        self._busy_since = 0.0
        self._failure, self._failed_at = _CLOSING, 0.0
        self._is_closing = False
        self._tending = gevent.spawn(self._tend)

    def add(self, batch: IncomingBatch) -> Receipt:
        """Store a batch, or find that it was stored before."""
        receipt: Receipt = self._apply(self._add, batch, time.monotonic())
        if receipt.outcome is Outcome.UNAVAILABLE:
            self._health = dataclasses.replace(self._health, writable=False, reason=receipt.reason)
        elif not self._health.writable:
            self._health = dataclasses.replace(self._health, writable=True, reason="")
        return receipt

    @property
    def known_health(self) -> Health:
        """Return what was found out last, without asking."""
        return self._health

    @property
    def busy_seconds(self) -> float:
        """Return for how long the store has been at the call that it is in."""
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    def seen(self, batch: IncomingBatch) -> Receipt | None:
        """Return DUPLICATE for a batch that was stored before, whole or with a parent; None for any other."""
        receipt: Receipt | None = self._apply(self._store.seen, batch)
        return receipt

    def health(self) -> Health:
        """Say whether batches can be stored; while the store is busy, what was known last."""
        probe = self._probe or gevent.spawn(self._apply, self._store.health)
        self._probe = probe
        probe.join(_HEALTH_PATIENCE_SECONDS)
        if probe.ready():
            self._health, self._probe = probe.get(), None
        return self._health

    def close(self) -> None:
        """Close the store once the call that runs is done; those that wait for their turn are refused."""
        self._is_closing = True
        self._tending.kill()
        closing = gevent.spawn(self._apply, self._store.close)
        closing.join(self._close_patience_seconds)
        if closing.ready():
            end_threads(self._thread)
        else:
            logger.warning("the store does not answer and is left as it is; what was acknowledged is in it")

    def tend(self) -> None:
        """Do nothing: the store is tended to once a second."""

    def _tend(self) -> None:
        while True:
            gevent.sleep(_TEND_SECONDS)
            self._apply(self._store.tend)

    def _apply(self, call: Callable[..., T], *arguments: object) -> T:
        returned: T = self._thread.apply(self._note_time, (call, *arguments))
        return returned

    # --- in the thread

    def _note_time(self, call: Callable[..., T], *arguments: object) -> T:
        self._busy_since = time.monotonic()
        try:
            return call(*arguments)
        finally:
            self._busy_since = 0.0

    def _add(self, batch: IncomingBatch, asked_at: float) -> Receipt:
        if self._is_closing:
            return _CLOSING
        if asked_at < self._failed_at:
            return self._failure
        started = time.monotonic()
        receipt = self._store.add(batch)
        now = time.monotonic()
        if receipt.outcome is Outcome.UNAVAILABLE and now - started > _LONG_FAILURE_SECONDS:
            self._failure, self._failed_at = receipt, now
        return receipt


def _try_open(open_store: Callable[[], Store]) -> tuple[Store, Health] | ConfigError:
    """Return a refusal as a value: gevent prints the traceback of what its threads raise."""
    try:
        store = open_store()
    except ConfigError as error:
        return error
    return store, store.health()
