"""`--workers N`: processes that serve one listening socket, and one that watches them and starts them again.

The socket is opened once and inherited, so a connection that waits in the kernel while a worker dies is
served by another. Each worker is a whole collector with a store of its own, opened after it started. SIGTERM
and SIGHUP go to all of them; when the process that watches ends, in any way, they stop.

A worker writes once a second how it is, and ends by itself if it or its store hangs. One that no longer
writes, as after SIGSTOP, is frozen: it is killed, and senders repeat what it had not answered. Its silence is
counted in looks, not by a clock: workers that are stopped together with the process that watches them are not
taken for frozen.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
from gevent import socket

from eventpub.cli.exit_codes import EXIT_NOT_YET

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gevent.event import Event

    from .config import Settings

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_RESTART_SECONDS = 1.0  # between two starts of one worker
_START_SECONDS = 60.0  # may pass before it says anything: a start takes one, where nothing else runs
_POLL_SECONDS = 0.05
_MORE_END_SECONDS = 7.0  # for the store and the end of the process, after the requests in flight
_LOOK_SECONDS = 1.0  # so often, each tells how it is
_WORTHLESS = (64, 78)  # exit codes after which a start would end as the last one did
# A worker that is told to stop before it watches for signals serves nothing yet, and ends by the signal itself.
_STOPPED = (0, -signal.SIGTERM, -signal.SIGINT)


class Workers:
    """Watches the workers.

    Args:
        number: how many there are.
        arguments: the command line of each, without what is added here.
        settings: where they listen, and how long they may take for what.
        stop: set when all shall stop.
        reload: set when all shall read their configuration again.

    Attributes:
        counts_files: where each worker tells once a second what it has counted.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(
        self,
        number: int,
        arguments: Sequence[str],
        settings: Settings,
        *,
        stop: Event,
        reload: Event,
    ) -> None:
        self._hung_seconds = settings.hung_seconds
        self._end_seconds = settings.stop_timeout_seconds + _MORE_END_SECONDS
        self._stop = stop
        self._reload = reload
        self._folder = tempfile.TemporaryDirectory(prefix="eventpub-workers-")
        family = socket.AF_INET6 if ":" in settings.listen[0] else socket.AF_INET
        self._listener = socket.create_server(settings.listen, family=family, backlog=1024)
        self._command = [
            *(sys.executable, "-m", "eventpub.collector", *arguments),
            *("--listen-fd", str(self._listener.fileno()), "--watcher", str(os.getpid())),
        ]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * number
        self.counts_files = [Path(self._folder.name, f"{worker}.counts") for worker in range(number)]
        self._started_at = [-_RESTART_SECONDS] * number
        self._told = [0] * number  # when each wrote last, as its file says
        self._silent_looks = [0] * number
        self._patience_seconds = [self._hung_seconds] * number  # with its silence
        self._look_closer_at = 0.0

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of the socket, with the port it really got."""
        host, port, *_ = self._listener.getsockname()
        return host, port

    def start(self) -> int | None:
        """Start all workers; return None once each serves, or the exit code if one cannot or `stop` is set."""
        while not self._are_ready():
            code = self._look()
            if code is not None or self._stop.wait(_POLL_SECONDS):
                return self.finish(code or 0)
        return None

    def watch(self, on_reload: Callable[[], None]) -> int:
        """Keep the workers running until `stop` is set, or none can run; return the exit code.

        Args:
            on_reload: called when `reload` is set, besides what the workers do.
        """
        while not self._stop.wait(_POLL_SECONDS):
            if self._reload.is_set():
                self._reload.clear()
                self._signal(signal.SIGHUP)
                on_reload()
            code = self._look()
            if code is not None:
                return self.finish(code)
        return self.finish(0)

    def finish(self, code: int) -> int:
        """Stop all workers and return the exit code: the first of one that did not just stop."""
        self._signal(signal.SIGTERM)
        codes = self._wait_for_ends()
        self._listener.close()
        self._folder.cleanup()
        return code or next((abs(found) for found in codes if found not in _STOPPED), 0)

    def _wait_for_ends(self) -> list[int]:
        """Return the exit codes of all; one that does not end in time is killed."""
        running = [process for process in self._processes if process is not None]
        deadline = time.monotonic() + self._end_seconds
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            gevent.sleep(_POLL_SECONDS)
        codes = []
        for process in running:
            if process.poll() is None:
                logger.error("a worker does not stop and is killed pid=%d", process.pid)
                process.kill()
                process.wait()
                codes.append(EXIT_NOT_YET)
            else:
                codes.append(process.returncode)
        return codes

    def _look(self) -> int | None:
        """Start what does not run; return an exit code after which that is of no use."""
        self._kill_what_is_frozen()
        for number, process in enumerate(self._processes):
            code = None if process is None else process.poll()
            if process is not None and code is None:
                continue
            if code in _WORTHLESS:
                return code
            if code is not None:
                logger.error("worker %d ended with code %d and is started again", number, code)
                self._processes[number] = None
            if time.monotonic() - self._started_at[number] >= _RESTART_SECONDS:
                self._start(number)
        return None

    def _kill_what_is_frozen(self) -> None:
        """Once a second, look at what each worker says of itself."""
        if time.monotonic() < self._look_closer_at:
            return
        self._look_closer_at = time.monotonic() + _LOOK_SECONDS
        for number, process in enumerate(self._processes):
            silent_seconds = self._look_at(number) * _LOOK_SECONDS
            if process is not None and silent_seconds > self._patience_seconds[number]:
                logger.error(
                    "worker %d is frozen and is killed: it has not said how it is for %.0f s",
                    number,
                    silent_seconds,
                )
                process.kill()
                self._silent_looks[number] = 0

    def _look_at(self, number: int) -> int:
        """Return how often in a row a worker was looked at and had said nothing new."""
        told = _find_time(self.counts_files[number])
        if told == self._told[number]:
            self._silent_looks[number] += 1
        else:
            self._told[number], self._silent_looks[number] = told, 0
            self._patience_seconds[number] = self._hung_seconds
        return self._silent_looks[number]

    def _start(self, number: int) -> None:
        self._started_at[number] = time.monotonic()
        self._told[number], self._silent_looks[number] = _find_time(self.counts_files[number]), 0
        self._patience_seconds[number] = max(self._hung_seconds, _START_SECONDS)
        counts = str(self.counts_files[number])
        command = [*self._command, "--ready-file", str(self._ready_path(number)), "--counts-file", counts]
        self._processes[number] = subprocess.Popen(
            command, pass_fds=[self._listener.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def _are_ready(self) -> bool:
        return all(self._ready_path(number).exists() for number in range(len(self._processes)))

    def _ready_path(self, number: int) -> Path:
        return Path(self._folder.name, str(number))

    def _signal(self, number: int) -> None:
        for process in self._processes:
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)


def _find_time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # it has not said anything yet
        return 0


def adopt_listener(fd: int) -> socket.socket:
    """Return the socket that this worker inherited."""
    inherited = socket.socket(fileno=fd)
    inherited.setblocking(False)
    return inherited


def stop_with(watcher: int) -> None:
    """Have this worker stop when the process that watches it ends, or has ended before this is asked for."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != watcher:
        os.kill(os.getpid(), signal.SIGTERM)
