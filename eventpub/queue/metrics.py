"""Send what `EventQueue.put` has counted to a metrics client, from within `put` itself.

`EventQueue` calls `send` when it checks its queue, at most once a second, so metrics start no thread and add
nothing to an ordinary `put`. Nothing that the client does reaches the caller of `put`. Counts are per process:
a forked child sends what it put itself.

| counter              | what                                               |
|----------------------|----------------------------------------------------|
| `put.accepted`       | events enqueued                                    |
| `put.full`           | events refused because there was no room           |
| `put.too_large`      | events refused because they exceed the limit       |
| `put.unserializable` | events refused because they cannot be written      |
| `values.replaced`    | values for which a marker was sent, on any queue   |
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, NamedTuple

from eventpub.serialization.unwritable import replaced_values, type_name

from .arguments import show_error
from .log import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    Count = Callable[[str, int], object]

logger = logging.getLogger(__name__)

SEND_SECONDS = 10.0  # the interval of most statsd daemons


class Counts(NamedTuple):
    """The outcomes of `put`; a forked child continues its parent's numbers."""

    accepted: int
    full: int
    too_large: int
    unserializable: int


class QueueMetrics:
    """Sends the increments of one queue's counts.

    Args:
        count: called with a counter's name and its increment, such as `incr` of a `statsd.StatsClient`.
        counts: returns the current counts.
        clock: monotonic seconds.
    """

    _replaced_sent = 0  # of all in this process, whichever of them has sent it

    def __init__(
        self, count: Count, counts: Callable[[], Counts], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._counts = counts
        self._clock = clock
        self._send_at = clock() + SEND_SECONDS
        QueueMetrics._replaced_sent = replaced_values.total()
        self._begin()
        this = weakref.ref(self)  # atexit keeps what is registered as long as the process lives

        def begin_in_child() -> None:
            if metrics := this():
                metrics._begin()  # noqa: SLF001, our own

        if hasattr(os, "register_at_fork"):  # Windows does not fork
            os.register_at_fork(after_in_child=begin_in_child)

    def send(self, *, now: bool = False) -> None:
        """Send the increments since the last time, if that is `SEND_SECONDS` ago or `now` is given."""
        if not now and self._clock() < self._send_at:
            return
        if not self._sending.acquire(blocking=False):
            return  # another thread is sending
        try:
            self._send_at = self._clock() + SEND_SECONDS
            for place, total in enumerate(self._counts()):
                if growth := total - self._sent[place]:
                    self._count(f"put.{Counts._fields[place]}", growth)
                    self._sent[place] = total
            if growth := replaced_values.total() - QueueMetrics._replaced_sent:
                self._count("values.replaced", growth)
                QueueMetrics._replaced_sent += growth
        except Exception as error:  # noqa: BLE001, third-party code; what it refused is sent next time
            warn(logger, "counts of put could not be sent: %s: %s", type_name(error), show_error(error))
        finally:
            self._sending.release()

    def _begin(self) -> None:
        self._sent = [*self._counts()]
        self._sending = threading.Lock()  # a fork may have copied a held lock
