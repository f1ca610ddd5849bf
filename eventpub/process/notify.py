"""What the service manager is told, in the form of sd_notify(3): a datagram of a few lines; by hand.

systemd names its socket in `NOTIFY_SOCKET`, with `Type=notify` in the unit, and how often it wants to hear that
all is well in `WATCHDOG_USEC`. Without that nothing is sent. Nothing here waits or raises, and it may be called
from any thread.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .sockets import short_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_STATUS_CHARACTERS = 500


class Supervisor:
    """The service manager that has started this process, if there is one.

    Args:
        environment: where its socket is named.

    Attributes:
        is_there: whether anybody is told.
        watchdog_seconds: how long it waits for `alive` before it kills; None if it does not watch.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        self._status = ""
        self._socket: socket.socket | None = None
        if self._path[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self.is_there = self._socket is not None
        self.watchdog_seconds = _read_watchdog(environment) if self.is_there else None

    def ready(self) -> None:
        """Say that it works: at the start, and after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends that."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that it is about to end."""
        self._send("STOPPING=1")

    def status(self, words: str) -> None:
        """Say in one line how it is; said only if it is something new."""
        line = " ".join(words.split())[:_MAX_STATUS_CHARACTERS]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Say that everything makes progress, if the service manager wants to know."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        message = "\n".join(lines).encode(errors="replace")
        with contextlib.suppress(OSError):  # it is gone, or too busy: what counts is said again
            if self._path.startswith("@"):
                self._socket.sendto(message, "\0" + self._path[1:])
            else:
                with short_name(Path(self._path)) as name:
                    self._socket.sendto(message, name)


def _read_watchdog(environment: Mapping[str, str]) -> float | None:
    wanted = environment.get("WATCHDOG_USEC", "")
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(wanted) / 1e6 if is_ours and wanted.isdecimal() and int(wanted) else None
