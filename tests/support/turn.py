"""Turns of the workers of pytest-xdist: a test that must be alone waits for the others, and they for it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path


class Turn:
    """What a worker holds while it runs a test; all workers of `run` share it."""

    def __init__(self, run: str) -> None:
        self._has_it = False
        folder = Path(tempfile.gettempdir())
        self._paths = [folder / f"eventpub-tests-{run}.{name}" for name in ("door", "room")]
        self._door, self._room = (
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in self._paths
        )

    def take(self, *, is_alone: bool) -> None:
        """Wait until a test may run, unless this worker still has the turn of the test before."""
        if self._has_it:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)  # nobody enters past one who waits to be alone
        fcntl.flock(self._room, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._has_it = True

    def release(self) -> None:
        self._has_it = False
        fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave nothing behind; the workers end together."""
        for path in self._paths:
            path.unlink(missing_ok=True)
