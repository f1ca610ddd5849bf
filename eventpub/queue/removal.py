"""What becomes of a queue that is removed while programs have it open.

A program that has it open can go on sending to it, and the kernel says nothing. So that no event is lost there,

1. all who may read the old queue empty it: the sidecar into its spool, an application and `eventpub queue
   resize` into the queue that has the name now;
2. once it is empty, it is filled up with end marks. From then on it is full for all who still send to it,
   however late. An `EventQueue` looks at a queue that is full, and goes on with the new one; a program that
   never looks is told that the queue is full, until it is started again.

When as many marks went in as there is room for, no event came between. Where fewer are in it, or an event is
behind them, who filled it up was late, or was killed: whoever finds that goes on. A mark counts only in a queue
that was removed; anywhere else it is a message like any other.

POSIX queues let a message be taken, and not looked at. So on its way from one queue to the other it is for some
microseconds in neither, and a process without a spool that is killed then loses that one. A sidecar loses none:
the kernel writes what it takes into a file.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from eventpub.errors import QueuePermissionError

from .log import warn

if TYPE_CHECKING:
    from .message_queue import MessageQueue

logger = logging.getLogger(__name__)

END_MARK = b"\x04"  # fits into every queue, and no JSON text has this byte; native/receive.c knows it, too
_LEAVE_SECONDS = 1.0  # how long to wait at the end for room for what lies in removed queues
_RETRY_SECONDS = 0.05
_TRIES = 1000


def fill_up(queue: MessageQueue) -> bool:
    """Fill a removed queue that was just emptied with end marks; return whether nothing but marks is in it.

    It is false as well while another process empties the queue, which then is the one to fill it up.
    """
    return all(queue.send(END_MARK) for _ in range(queue.max_messages)) and not queue.send(END_MARK)


class RemovedQueue:
    """A removed queue from which a process without a spool takes what is in it to its successor."""

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._in_hand: bytes | None = None  # taken, with room for it neither there nor here
        self.moved = 0

    @property
    def left(self) -> int:
        """How many messages are still to be moved, end marks included."""
        return self._queue.depth() + (self._in_hand is not None)

    def move_messages(self, successor: MessageQueue) -> bool:
        """Move what there is room for, without waiting; return whether nothing is left, nor can come."""
        marks = 0
        try:
            for _ in range(self.left + 1):
                message = self._in_hand or self._queue.receive()
                self._in_hand = None
                if message is None:
                    return fill_up(self._queue)
                if message == END_MARK:
                    marks += self._queue.send(message)  # to the end: look what is behind it
                elif len(message) <= successor.max_message_size and successor.send(message):
                    self.moved += 1
                elif not self._put_back(message, successor) or successor.depth() >= successor.max_messages:
                    return False
            return marks > self._queue.max_messages or (marks > 0 and fill_up(self._queue))
        except QueuePermissionError:
            return True  # it can only be written to: its owner, who can read it, sees to it

    def wants_room(self, successor: MessageQueue) -> bool:
        """Tell whether it holds an event that its successor can take, and had no room for yet."""
        return self._in_hand is not None and len(self._in_hand) <= successor.max_message_size

    def close(self) -> None:
        """Let the queue go, with what is left in it."""
        self._queue.close()

    def _put_back(self, message: bytes, successor: MessageQueue) -> bool:
        """Put a message back; if a sender was quicker to take its place, try here and there for a while."""
        for _ in range(_TRIES):
            if self._queue.send(message):
                return True
            if len(message) <= successor.max_message_size and successor.send(message):
                self.moved += 1
                return True
            time.sleep(0)
        self._in_hand = message
        return False


class RemovedQueues:
    """The removed queues that an application has not emptied, or not for certain."""

    def __init__(self) -> None:
        self._queues: list[RemovedQueue] = []

    def add(self, queue: MessageQueue, successor: MessageQueue) -> None:
        """Take along what lies in a queue, and keep it: another thread may be about to send to it."""
        old = RemovedQueue(queue)
        self._queues.append(old)
        old.move_messages(successor)

    def move_messages(self, successor: MessageQueue) -> None:
        """Take along what came since, and let go what nothing can come to any more."""
        if self._queues:
            self._queues = [old for old in self._queues if not _finish(old, successor)]

    def want_room(self, successor: MessageQueue) -> bool:
        """Tell whether an event is in hand that is to go before those of the application."""
        return any(old.wants_room(successor) for old in self._queues)

    def take_leave(self, successor: MessageQueue) -> None:
        """Take along what is left, and wait a second for room at most."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        self.move_messages(successor)
        while self._queues and (remaining_seconds := deadline - time.monotonic()) > 0:
            time.sleep(min(remaining_seconds, _RETRY_SECONDS))
            self.move_messages(successor)
        for old in self._queues:
            warn(
                logger,
                "event queue %r was removed, and the new one is full: %d events are left to the sidecar of the "
                "old one, and lost where it had none",
                successor.name,
                old.left,
            )

    def close(self) -> None:
        """Let all go, with what is left in them."""
        for old in self._queues:
            old.close()
        self._queues = []


def _finish(old: RemovedQueue, successor: MessageQueue) -> bool:
    if not old.move_messages(successor):
        return False
    if old.moved:
        warn(logger, "event queue %r: %d events moved to the new one", successor.name, old.moved)
    old.close()
    return True
