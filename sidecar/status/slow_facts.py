"""Facts that take a disk or `/proc`: looked up in a thread of their own, and never waited for for long.

A disk that hangs must not keep the status from being told, so what is told then is what was known before.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

import gevent

from eventpub.process.threads import call_in, end_threads, start_threads
from eventpub.queue.holders import find_holders
from eventpub.sidecar.spool.dead_letters import SUFFIX

from .record import HolderPart

if TYPE_CHECKING:
    from pathlib import Path

_FRESH_SECONDS = 5.0  # a scan of /proc takes 10 ms on a host with 500 processes
_WAIT_SECONDS = 0.5


class Facts(NamedTuple):
    """What was found, and when, in seconds since 1970; None if it was not looked up yet."""

    letters: int = 0
    letters_bytes: int = 0
    holders: tuple[HolderPart, ...] = ()
    at: float | None = None


class SlowFacts:
    """Looks them up.

    Args:
        queue_name: whose holders are wanted.
        letters: the folder of the dead letters.

    Attributes:
        known: what was found last.
    """

    def __init__(self, queue_name: str, letters: Path) -> None:
        self._queue_name = queue_name
        self._letters = letters
        self.known = Facts()
        self._threads = start_threads(1)
        self._search: gevent.Greenlet[[], None] | None = None
        self._measured_ns = -1

    def look(self) -> Facts:
        """Return what is known; looked up again if that is old, and done within half a second."""
        is_fresh = self.known.at is not None and time.time() - self.known.at < _FRESH_SECONDS
        if self._search is None and not is_fresh:
            self._search = gevent.spawn(self._look_up_if_possible)
        if search := self._search:  # others may ask meanwhile
            search.join(_WAIT_SECONDS)
            if search.ready() and self._search is search:
                self._search = None
        return self.known

    def close(self) -> None:
        """Look nothing up any more."""
        end_threads(self._threads)

    def _look_up_if_possible(self) -> None:
        with contextlib.suppress(OSError):
            self.known = call_in(self._threads, self._look_up)

    def _look_up(self) -> Facts:
        letters, size_bytes = self.known.letters, self.known.letters_bytes
        changed_ns = self._letters.stat().st_mtime_ns
        if changed_ns != self._measured_ns:
            letters, size_bytes = _measure_letters(self._letters)
            self._measured_ns = changed_ns
        holders = find_holders(self._queue_name)
        here = tuple(
            HolderPart(pid=holder.pid, command=holder.command) for holder in holders if not holder.removed
        )
        return Facts(letters, size_bytes, here, time.time())


def _measure_letters(folder: Path) -> tuple[int, int]:
    letters = size_bytes = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # dropped or sent again meanwhile
                if entry.name.endswith(SUFFIX):
                    size_bytes += entry.stat().st_size
                    letters += 1
    return letters, size_bytes
