"""The connections that are open: how many there may be, and which of them goes when another one wants in.

A connection that waits for its peer can be sent away; one whose request is being answered cannot. First goes
the one that has been idle longest, then the one whose peer has been silent longest within a request.
"""

from __future__ import annotations

import collections
import logging
import time
from typing import TYPE_CHECKING, Protocol

import gevent.pool

if TYPE_CHECKING:
    from types import TracebackType

logger = logging.getLogger(__name__)

_LOG_INTERVAL_SECONDS = 60.0


class Waiting(Protocol):
    """What waits for its peer."""

    def give_way(self) -> None:
        """Stop waiting."""


class ConnectionTable(gevent.pool.Pool):  # type: ignore[misc]  # gevent has no types
    """A pool of the greenlets of connections, and lists of those that wait.

    Args:
        size: how many there may be.

    Attributes:
        is_closing: whether connections end with the request they are in.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.is_closing = False
        self._idle: collections.OrderedDict[Waiting, None] = collections.OrderedDict()  # longest first
        self._busy: collections.OrderedDict[Waiting, None] = collections.OrderedDict()
        self._is_wanted = False
        self._sent_away = 0
        self._logged_at = -_LOG_INTERVAL_SECONDS

    @property
    def is_crowded(self) -> bool:
        """Tell whether a peer waits in the kernel for a place."""
        return self._is_wanted and bool(super().full())

    def full(self) -> bool:
        """Return whether there is no room for a waiting connection; if so, close an idle one."""
        self._is_wanted = bool(super().full())
        if self._is_wanted:
            self._make_room()
        return self._is_wanted

    def idling(self, connection: Waiting) -> Wait:
        """Return a context for the time that `connection` is in no request: the server's end ends it."""
        if self.is_closing or self.is_crowded:
            connection.give_way()
        return Wait(self._idle, connection)

    def waiting(self, connection: Waiting) -> Wait:
        """Return a context, to be used again and again, for waits of `connection` within a request."""
        return Wait(self._busy, connection)

    def close(self) -> None:
        """Send those away that are idle, now and from now on."""
        self.is_closing = True
        for connection in tuple(self._idle):
            connection.give_way()

    def _make_room(self) -> None:
        waiting = self._idle or self._busy
        if not waiting:
            return  # all are being answered; `is_crowded` ends the first that has its answer
        connection, _ = waiting.popitem(last=False)
        connection.give_way()
        self._sent_away += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_INTERVAL_SECONDS:
            logger.warning(
                "all %d connections are taken: those silent longest are closed for new ones closed=%d; "
                "raise max_connections if you have that many senders",
                self.size,
                self._sent_away,
            )
            self._logged_at, self._sent_away = now, 0


class Wait:
    """A context in which a connection stands, last, in a list of those that wait."""

    __slots__ = ("_connection", "_list")

    def __init__(self, list_: collections.OrderedDict[Waiting, None], connection: Waiting) -> None:
        self._list = list_
        self._connection = connection

    def __enter__(self) -> None:
        self._list[self._connection] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._list.pop(self._connection, None)
