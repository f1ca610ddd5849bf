"""Real queues for tests: small, with unique names, and removed afterwards."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

from eventpub.errors import QueueMissingError
from eventpub.queue.event_queue import EventQueue
from eventpub.queue.message_queue import MessageQueue, remove_queue
from eventpub.queue.stand_in import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MESSAGES = 10  # what a fresh kernel allows
_MESSAGE_SIZE = 4 * 1024  # 15 such queues at a time fit into the 819,200 bytes a user has on a fresh kernel

_numbers = itertools.count()


class KernelQueue(EventQueue[Any]):
    """A queue in the kernel, also if it is opened where events are captured."""

    def _open(self, *, create: bool) -> MessageQueue:
        return MessageQueue.open(self.name, create=create, **self._wishes)


@contextlib.contextmanager
def posix_queue(
    event_serializer: Callable[[Any], bytes] | None = None,
    *,
    max_messages: int = _MESSAGES,
    max_message_size: int = _MESSAGE_SIZE,
) -> Iterator[EventQueue[Any]]:
    """Create a real queue for the block, then remove it with its events.

    Args:
        event_serializer: as for `EventQueue`.
        max_messages: events it holds, 10 by default.
        max_message_size: bytes of an event, 4,096 by default.

    Raises:
        QueueError: it cannot be created; the reason says how to fix that.
    """
    name = f"test-{os.getpid()}-{next(_numbers)}"
    with KernelQueue(
        name, event_serializer, max_messages=max_messages, max_message_size=max_message_size
    ) as events:
        try:
            yield events
        finally:
            with contextlib.suppress(QueueMissingError):  # the test may have removed it
                remove_queue(name)


def take_messages(queue_name: str) -> list[bytes]:
    """Take all waiting messages from a real queue, oldest first, as a sidecar does.

    With EVENTPUB_QUEUE=memory they are those that this process has put.

    Args:
        queue_name: as passed to `EventQueue`.

    Raises:
        QueueError: it does not exist, or this user may not read it.
    """
    if queue_name in kept:
        return [kept[queue_name].popleft() for _ in range(len(kept[queue_name]))]
    with MessageQueue.open(queue_name, write=False, create=False) as queue:
        return list(iter(queue.receive, None))
