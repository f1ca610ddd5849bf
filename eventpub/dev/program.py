"""A program of ours as a process of its own: its start, what it logs, its end."""

from __future__ import annotations

import ctypes
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from .errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 20.0  # the sidecar goes on delivering for up to 5

_POLL_SECONDS = 0.05
_SHOWN_LINES = 10
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOUD = re.compile(
    r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) (?!.* was created smaller than wanted)"
)  # its size is told


class Program:
    """A process. Ctrl-C reaches only its parent, which ends it in order; if the parent is killed, it ends too.

    Args:
        name: what it is called.
        arguments: of Python.
        log_path: what it writes goes there.
        kept_fd: a descriptor that it has open until it ends.
    """

    def __init__(self, name: str, arguments: Sequence[str], log_path: Path, kept_fd: int) -> None:
        self.name = name
        self._log_path = log_path
        self._told_characters = 0
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(kept_fd,),
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509, this process has no threads
            )

    def wait_for(self, pattern: str, stopped: Callable[[], bool]) -> re.Match[str] | None:
        """Wait until a line of its log is like `pattern`; return that, or None if it was `stopped` before.

        Raises:
            ProgramError: it ended, or it takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while not stopped():
            found = re.search(pattern, self._log(), re.MULTILINE)
            if found:
                return found
            self.check()
            if time.monotonic() > deadline:
                raise ProgramError(self.name, "does not start", self._tail())
            time.sleep(_POLL_SECONDS)
        return None

    def check(self) -> None:
        """Raise ProgramError if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ProgramError(self.name, f"ended with exit code {code}", self._tail())

    def read_news(self, *, is_verbose: bool) -> list[str]:
        """Return what it has logged since this was asked before; only warnings, unless all is wanted."""
        log = self._log()
        whole, newline, _ = log[self._told_characters :].rpartition("\n")
        self._told_characters += len(whole) + len(newline)
        return [line for line in whole.splitlines() if is_verbose or _LOUD.match(line)]

    def stop(self) -> None:
        """End it, and wait for that."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _log(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def _tail(self) -> str:
        return "\n".join(self._log().splitlines()[-_SHOWN_LINES:])


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
