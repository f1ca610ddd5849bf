"""Ends a process that has a frozen stage, and tells the service manager that all is well while none is.

A thread of its own looks, since what hangs may be the hub itself: a disk that does not answer keeps whoever
asks it in the kernel. It counts its own ticks and not the time: a process that was stopped and goes on, or a
machine that slept, is not taken for a frozen one. A frozen one ends with `EXIT_FROZEN`, and its supervisor
starts another one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
from typing import TYPE_CHECKING

import gevent
from gevent import monkey

from eventpub.cli.exit_codes import EXIT_FROZEN

from .progress import PULSE_SECONDS, Loop
from .threads import end_threads, start_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .notify import Supervisor
    from .progress import Stage

logger = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_LOG_SECONDS = 2.0  # what holds the log may be what hangs

_poll_original = monkey.get_original("select", "poll")  # gevent's would wait on a hub
_sleep_original = monkey.get_original("time", "sleep")
_start_thread = monkey.get_original("_thread", "start_new_thread")


class Watchdog:
    """Looks whether the stages make progress.

    Args:
        stages: what they noted.
        timeout_seconds: how long one step may take; 0 for any time.
        remains: what another start finds, for the log: "what was received is in the spool".
        supervisor: who is told that all is well; None where something else tells it.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        timeout_seconds: float,
        *,
        remains: str,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._stages = stages
        self._timeout_seconds = timeout_seconds
        self._remains = remains
        self._supervisor = supervisor
        watched_seconds = supervisor.watchdog_seconds if supervisor is not None else None
        limits = [seconds for seconds in (timeout_seconds, watched_seconds) if seconds]
        self._tick_seconds = min([_TICK_SECONDS, *(seconds / 4 for seconds in limits)])
        self._quiet_seconds = min([timeout_seconds or watched_seconds or 0.0, (watched_seconds or 0.0) / 2])
        self._ticks: dict[str, tuple[object, int]] = {}  # what was seen, how often in a row
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._threads = start_threads(1)
        self._is_wanted = bool(limits)

    def start(self) -> None:
        """Look from now on."""
        if self._is_wanted:
            self._threads.spawn(self._run)

    def stop(self) -> None:
        """Look no more."""
        os.eventfd_write(self._stop_fd, 1)
        end_threads(self._threads)

    def look(self) -> None:
        """Look once: end a frozen process, or tell that all is well."""
        stage, seconds = max(self._count(), key=lambda found: found[1])  # the first of those that are equal
        if self._timeout_seconds and seconds >= self._timeout_seconds:
            words = f"the stage {stage.name} is frozen: it has been {stage.describe()} for {seconds:.0f} s"
            end_frozen(words, self._remains)
        elif self._supervisor is not None and seconds <= self._quiet_seconds:
            self._supervisor.alive()

    def _run(self) -> None:
        poll = _poll_original()
        poll.register(self._stop_fd, select.POLLIN)
        while not poll.poll(self._tick_seconds * 1000):
            with contextlib.suppress(MemoryError):
                self.look()

    def _count(self) -> list[tuple[Stage, float]]:
        """Return for how long each stage has been seen at the same step."""
        found = []
        for stage in self._stages:
            step = stage.stands_at()
            before, ticks = self._ticks.get(stage.name, (None, 0))
            ticks = ticks + 1 if step is not None and step == before else 0
            self._ticks[stage.name] = step, ticks
            found.append((stage, ticks * self._tick_seconds))
        return found


@contextlib.contextmanager
def watch_hub(timeout_seconds: float, *, remains: str) -> Iterator[None]:
    """End the process if its hub does not turn during the block.

    Args:
        timeout_seconds: for how long; 0 for any time.
        remains: what another start finds, for the log.
    """
    loop = Loop("loop")
    watchdog = Watchdog([loop], timeout_seconds, remains=remains)
    turning = gevent.spawn(_turn, loop)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
        turning.kill()


def end_frozen(words: str, remains: str) -> None:
    """Write a line into the log, if the log lets us, and end the process.

    Args:
        words: what is frozen, and for how long.
        remains: what another start finds.
    """
    with contextlib.suppress(RuntimeError, MemoryError):  # no thread can be started
        _start_thread(_tell, (words, remains))
    for _ in range(20):
        _sleep_original(_LOG_SECONDS / 20)
        if _told:
            break
    os._exit(EXIT_FROZEN)


_told: list[str] = []


def _tell(words: str, remains: str) -> None:
    logger.critical("%s; ending with %d, so that another start goes on: %s", words, EXIT_FROZEN, remains)
    _told.append(words)


def _turn(loop: Loop) -> None:
    while True:
        loop.did("turned")
        gevent.sleep(PULSE_SECONDS)
