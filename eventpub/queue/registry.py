"""All event queues of this process, for what concerns all: a fork, its end, and tests that divert them."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from .message_queue import MessageQueue


class Registered(Protocol):
    """What an event queue does on these occasions."""

    def begin_in_child(self) -> None:
        """Start over in a forked child."""

    def take_leave(self) -> None:
        """See to what it would leave behind: the process ends."""

    def lose_descriptor(self, fd: int) -> None:
        """Use a descriptor no more that another queue has got, if it was this one's."""


event_queues: WeakValueDictionary[int, Any] = WeakValueDictionary()  # each is Registered

# What opens a queue in the kernel's place while `eventpub.testing` captures events; None outside of tests.
stand_in: Callable[[Any], MessageQueue] | None = None


def register_queue(queue: Registered) -> None:
    """Notify a queue as long as it is referenced."""
    event_queues[id(queue)] = queue


def announce_descriptor(queue: Registered, fd: int) -> None:
    """Tell all others that a descriptor is this queue's now: theirs was closed by its number."""
    for other in list_queues():
        if other is not queue:
            other.lose_descriptor(fd)


def list_queues() -> list[Registered]:
    """Return the queues that are still referenced."""
    return list(event_queues.values())


def _begin_in_child() -> None:
    for queue in list_queues():
        queue.begin_in_child()


def _take_leave() -> None:
    for queue in list_queues():
        queue.take_leave()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_begin_in_child)
atexit.register(_take_leave)
