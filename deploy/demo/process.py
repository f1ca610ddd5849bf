"""A process of the demo, from its start to its exit code."""

# ruff: noqa: INP001, T201, a script beside run.py that says what it does

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START_SECONDS = 20.0
STOP_SECONDS = 20.0  # the sidecar goes on delivering for up to 5


class DemoError(Exception):
    """The demo failed; the text says why."""


class Process:
    """A Python process with a log of its own. Ctrl-C reaches only its parent, which ends it in order."""

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._child: subprocess.Popen[bytes] | None = None

    def launch(self, *command: str | Path, pass_fds: tuple[int, ...] = ()) -> None:
        """Start it; arrange for `end` first, since an interruption may come as soon as it runs."""
        with self.log_path.open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        print(f"  {self.name:9} process {self._child.pid}", flush=True)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait for `ready()`; raise DemoError if it ends before, or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                self._fail("does not start")
            time.sleep(0.02)

    def check(self) -> None:
        """Raise DemoError if it has ended."""
        if not self.is_running():
            self._fail("ended too early")

    def is_running(self) -> bool:
        """Tell whether it goes on; raise DemoError if it has failed."""
        code = self._child.poll() if self._child else 0
        if code:
            self._fail(f"ended with exit code {code}")
        return code is None

    def stop(self) -> None:
        """Send SIGTERM and wait; raise DemoError unless it exits with 0."""
        self.check()
        assert self._child  # noqa: S101, it runs
        self._child.terminate()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._fail("does not stop")
        self.is_running()
        print(f"  {self.name:9} exit code 0", flush=True)

    def end(self) -> None:
        """End it, in whatever state it is."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _fail(self, what: str) -> NoReturn:
        log = self.log_path.read_text(errors="replace").splitlines()[-10:]
        raise DemoError("\n  | ".join([f"{self.name} {what}; its log ends with", *log]))
