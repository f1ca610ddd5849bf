"""A queue that was removed from under the sidecar: emptied until nothing can come to it any more.

The sidecar keeps it open for longer than any sender takes to see that it was removed, and empties it again and
again: of several processes that empty it at the same time, one may have been killed before it was done.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from eventpub.errors import QueuePermissionError
from eventpub.queue.removal import RemovedQueue, fill_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.queue.message_queue import MessageQueue

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 3.0  # an `EventQueue` looks once a second
_RETRY_SECONDS = 0.25
_SAY_SECONDS = 60.0


class RemovedSource:
    """A removed queue, from the moment on at which the sidecar saw that it was.

    Args:
        queue: what was removed.
        empty: takes what is in a queue into the spool, and returns whether that is done.
    """

    def __init__(self, queue: MessageQueue, empty: Callable[[MessageQueue], bool]) -> None:
        self._queue = queue
        self._empty = empty
        self._close_at = time.monotonic() + _LINGER_SECONDS
        self._say_at = self._close_at
        self._retry_at = 0.0

    def finish(self, *, at_once: bool = False) -> bool:
        """Take what is in it, and close it if it is time, or can be at once; return whether it was."""
        if (now := time.monotonic()) < self._retry_at and not at_once:
            return False
        is_shut = self.shut()
        self._retry_at = now + _RETRY_SECONDS
        if is_shut and (at_once or now >= self._close_at):
            self._queue.close()
            return True
        if not is_shut and now >= self._say_at:
            self._say_at = now + _SAY_SECONDS
            logger.warning(
                "queue %r was removed, and a program still sends to it; its events are taken, but restart it",
                self._queue.name,
            )
        return False

    def shut(self) -> bool:
        """Take what is in it, and leave no room in it; return whether nothing can come to it any more."""
        if not self._empty(self._queue):
            return False
        try:
            return fill_up(self._queue)
        except QueuePermissionError:
            return True  # its owner lets this user read it and no more: it is emptied until it is time

    def leave(self, successor: MessageQueue) -> None:
        """Take what is in it, and what the spool has no room for into its successor; then close it."""
        if not self.shut() and successor.fd >= 0:
            with contextlib.suppress(QueuePermissionError):
                RemovedQueue(self._queue).move_messages(successor)
        self._queue.close()
