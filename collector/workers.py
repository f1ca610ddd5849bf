"""`--workers N`: processes that serve one listening socket, and one that watches them and starts them again.

The socket is opened once and inherited, so a connection that waits in the kernel while a worker dies is
served by another. Each worker is a whole collector with a store of its own, opened after it started. SIGTERM
and SIGHUP go to all of them; when the process that watches ends, in any way, they stop.
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

from gevent import socket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gevent.event import Event

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_RESTART_SECONDS = 1.0  # between two starts of one worker
_POLL_SECONDS = 0.05
_WORTHLESS = (64, 78)  # exit codes after which a start would end as the last one did
# A worker that is told to stop before it watches for signals serves nothing yet, and ends by the signal itself.
_STOPPED = (0, -signal.SIGTERM, -signal.SIGINT)


class Workers:
    """Watches the workers.

    Args:
        number: how many there are.
        arguments: the command line of each, without what is added here.
        listen: host and port.
        stop: set when all shall stop.
        reload: set when all shall read their configuration again.

    Attributes:
        counts_files: where each worker tells once a second what it has counted.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(
        self, number: int, arguments: Sequence[str], listen: tuple[str, int], *, stop: Event, reload: Event
    ) -> None:
        self._stop = stop
        self._reload = reload
        self._folder = tempfile.TemporaryDirectory(prefix="eventpub-workers-")
        family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        self._listener = socket.create_server(listen, family=family, backlog=1024)
        self._command = [
            *(sys.executable, "-m", "eventpub.collector", *arguments),
            *("--listen-fd", str(self._listener.fileno()), "--watcher", str(os.getpid())),
        ]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * number
        self.counts_files = [Path(self._folder.name, f"{worker}.counts") for worker in range(number)]
        self._started_at = [-_RESTART_SECONDS] * number

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

    def watch(self) -> int:
        """Keep the workers running until `stop` is set, or none can run; return the exit code."""
        while not self._stop.wait(_POLL_SECONDS):
            if self._reload.is_set():
                self._reload.clear()
                self._signal(signal.SIGHUP)
            code = self._look()
            if code is not None:
                return self.finish(code)
        return self.finish(0)

    def finish(self, code: int) -> int:
        """Stop all workers and return the exit code: the first of one that did not just stop."""
        self._signal(signal.SIGTERM)
        codes = [process.wait() for process in self._processes if process is not None]
        self._listener.close()
        self._folder.cleanup()
        return code or next((abs(found) for found in codes if found not in _STOPPED), 0)

    def _look(self) -> int | None:
        """Start what does not run; return an exit code after which that is of no use."""
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

    def _start(self, number: int) -> None:
        self._started_at[number] = time.monotonic()
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
