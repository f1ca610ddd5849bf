"""What wakes the daemon: signals, and what becomes of its stages; handlers and stages only note it here."""

from __future__ import annotations

import enum
import signal
import time
from typing import NamedTuple

import gevent
from gevent.queue import Empty, SimpleQueue


class Wake(enum.Enum):
    """Why the daemon wakes."""

    RELOAD = "SIGHUP"
    STOP = "SIGTERM or SIGINT"
    CRASHED = "a stage broke"
    SPOOL_GONE = "the folder of the spool was removed"


class Woken(NamedTuple):
    """One such event, and the number of the signal, if it was one."""

    why: Wake
    signal_number: int = 0

    def __str__(self) -> str:
        return signal.Signals(self.signal_number).name if self.signal_number else self.why.value


_SIGNALS = {signal.SIGTERM: Wake.STOP, signal.SIGINT: Wake.STOP, signal.SIGHUP: Wake.RELOAD}


class Wakeups:
    """What has woken the daemon and was not dealt with yet, in order."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Woken] = SimpleQueue()

    def subscribe(self) -> None:
        """Note the signals from now on, in place of what they do by default.

        The handlers run in the hub, between greenlets, so no system call is interrupted by them.
        """
        for number, wake in _SIGNALS.items():
            gevent.signal_handler(number, self.put, wake, int(number))

    def put(self, wake: Wake, signal_number: int = 0) -> None:
        """Wake the daemon."""
        self._waiting.put(Woken(wake, signal_number))

    def get(self) -> Woken:
        """Wait for the next, and return it."""
        woken: Woken = self._waiting.get()
        return woken

    def wait_for_stop(self, seconds: float) -> Woken | None:
        """Wait so long, or until there is something else than a wish to reload; that is kept for `get`."""
        deadline = time.monotonic() + seconds
        reloads = []
        woken = None
        while (left_seconds := deadline - time.monotonic()) > 0:
            try:
                woken = self._waiting.get(timeout=left_seconds)
            except Empty:
                break
            if woken.why is not Wake.RELOAD:
                break
            reloads.append(woken)
            woken = None
        for reload in reloads:
            self._waiting.put(reload)
        return woken
