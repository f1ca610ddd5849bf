"""Signals -> a queue of numbers that the daemon's main loop reads; handlers do nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
from gevent.queue import SimpleQueue

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable


def subscribe_signals(numbers: Iterable[signal.Signals]) -> SimpleQueue[int]:
    """Return a queue that gets the number of each of these signals when it arrives.

    The handlers run in the hub, between greenlets, so no system call is interrupted by them.
    """
    arrived: SimpleQueue[int] = SimpleQueue()
    for number in numbers:
        gevent.signal_handler(number, arrived.put, int(number))
    return arrived
