"""Disks that fail on purpose: at a given change on the real disk they raise, or kill their process."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventpub.sidecar.spool.disk import Disk

STEPS = tuple(name for name in vars(Disk) if not name.startswith("_"))


class _SteppingDisk(Disk):
    """The real disk, with `before` and `after` called around each change."""

    def __getattribute__(self, name: str) -> Any:
        real = super().__getattribute__(name)
        return self._stepping(name, real) if name in STEPS else real

    def _stepping(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            what = next((path.suffix or path.name for path in arguments if isinstance(path, Path)), "file")
            self.before(f"{name}:{what}")
            result = real(*arguments)
            self.after()
            return result

        return step

    def before(self, step: str) -> None:
        """Do something before a change, named as `step:what`."""

    def after(self) -> None:
        """Do something after a change."""


class KillingDisk(_SteppingDisk):
    """Sends SIGKILL to its process before change number `fatal`, or right after it.

    Attributes:
        steps: the changes so far, as `step:what`; a crash point's name.
    """

    def __init__(self, fatal: int | None = None, *, after: bool = False) -> None:
        self.steps: list[str] = []
        self._fatal = fatal
        self._after = after

    def before(self, step: str) -> None:
        self.steps.append(step)
        if self._fatal == len(self.steps) and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self) -> None:
        if self._fatal is not None and self._fatal <= len(self.steps):
            os.kill(os.getpid(), signal.SIGKILL)


class FailingDisk(_SteppingDisk):
    """Raises ENOSPC, or another error, at one change or from it on, until it is mended."""

    def __init__(self) -> None:
        self._countdown = 0
        self._for_ever = False
        self._number = errno.ENOSPC

    def fail_at(self, step: int, number: int = errno.ENOSPC, *, for_ever: bool = False) -> None:
        """Fail change number `step` from now on, and all after it if `for_ever`."""
        self._countdown, self._number, self._for_ever = step, number, for_ever

    def mend(self) -> None:
        self._countdown = 0

    def before(self, step: str) -> None:
        if not self._countdown:
            return
        if self._countdown > 1:
            self._countdown -= 1
            return
        self._countdown = int(self._for_ever)
        raise OSError(self._number, os.strerror(self._number), step)


class PointKillingDisk(_SteppingDisk):
    """Sends SIGKILL to its process at a named change: `rename:.open`, the first time, say, before or after it.

    With no `point` it kills nobody, and writes the names of all changes to the file `record`.
    """

    def __init__(
        self, point: str = "", occurrence: int = 1, *, after: bool = False, record: str = os.devnull
    ) -> None:
        self._point, self._left, self._after = point, occurrence, after
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def before(self, step: str) -> None:
        os.write(self._record, f"{step}\n".encode())
        self._left -= step == self._point
        if not self._left and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self) -> None:
        if self._left <= 0:  # below it when another thread came to the same point meanwhile
            os.kill(os.getpid(), signal.SIGKILL)


class SwitchedDisk(_SteppingDisk):
    """Fails while the file `switch` exists; it holds an errno, and the steps that fail unless all do."""

    def __init__(self, switch: Path) -> None:
        self._switch = switch

    def before(self, step: str) -> None:
        try:
            number, *steps = self._switch.read_text().split()
        except (FileNotFoundError, ValueError):  # not there, or there but not written yet
            return
        if not steps or step.partition(":")[0] in steps:
            raise OSError(int(number), os.strerror(int(number)), step)
