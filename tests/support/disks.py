"""Disks that fail on purpose: at a given change on the real disk they raise, or kill their process."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent import monkey

from eventpub.sidecar.spool.disk import Disk

STEPS = tuple(name for name in vars(Disk) if not name.startswith("_"))


class CachedDisk(Disk):
    """The real disk, but nobody waits until it has written: a kill leaves all that the page cache has."""

    def sync(self, fd: int) -> None:
        """Leave it to the kernel."""

    def sync_directory(self, directory: Path) -> None:
        """Leave it to the kernel."""


class _SteppingDisk(CachedDisk):
    """That disk, with `before` and `after` called around each change."""

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


class FullDisk(KillingDisk):
    """Has room for so many more files and folders, of any size, and kills its process like `KillingDisk`.

    Attributes:
        free: how many more it has room for; None for any number.
    """

    def __init__(self, fatal: int | None = None, *, after: bool = False) -> None:
        super().__init__(fatal, after=after)
        self.free: int | None = None

    def create(self, path: Path) -> int:
        self._take()
        return super().create(path)

    def make_directory(self, directory: Path) -> None:
        self._take()
        super().make_directory(directory)

    def remove(self, path: Path) -> None:
        freed = int(path.exists() and path.stat().st_nlink == 1)
        super().remove(path)
        self._give(freed)

    def remove_directory(self, directory: Path) -> None:
        super().remove_directory(directory)
        self._give(1)

    def _take(self) -> None:
        if self.free == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._give(-1)

    def _give(self, files: int) -> None:
        if self.free is not None:
            self.free += files


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


class ForgetfulDisk(KillingDisk):
    """Loses its power before change number `fatal`: it then holds what was synced, and its process ends.

    Files keep the bytes they had when they were last synced, folders the names they had then. With
    `keeps_names` folders keep the names they have: file systems may write them before the bytes. Folders that
    are not made by the seam (of slots, of dead letters) stay, and so does what is there at the start.
    """

    def __init__(self, queue: Path, fatal: int | None = None, *, keeps_names: bool = False) -> None:
        super().__init__(fatal)
        self._queue = queue
        self._keeps_names = keeps_names
        self._bytes: dict[int, bytes] = {}  # of files, by inode
        self._names: dict[int, dict[str, os.stat_result]] = {}  # in folders, likewise
        for path in queue.rglob("*"):
            if path.is_dir():
                self._names[path.stat().st_ino] = _names(path)
            else:
                self._bytes[path.stat().st_ino] = path.read_bytes()

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._bytes.pop(os.fstat(fd).st_ino, None)  # of a file that had this inode before
        return fd

    def make_directory(self, directory: Path) -> None:
        super().make_directory(directory)
        self._names.pop(directory.stat().st_ino, None)

    def sync(self, fd: int) -> None:
        super().sync(fd)
        status = os.fstat(fd)
        self._bytes[status.st_ino] = os.pread(fd, status.st_size, 0)

    def sync_directory(self, directory: Path) -> None:
        super().sync_directory(directory)
        self._names[directory.stat().st_ino] = _names(directory)

    def before(self, step: str) -> None:
        if self._fatal == len(self.steps) + 1:
            self.cut_power()
        super().before(step)

    def cut_power(self) -> None:
        """Have the folder hold what a power cut would leave of it."""
        folders = [path for path in self._queue.iterdir() if path.is_dir()]
        left = {folder: self._left(folder.stat().st_ino, folder) for folder in folders}
        for folder in folders:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            _write(folder, left[folder])

    def _left(self, inode: int, folder: Path) -> dict[str, Any]:
        names = _names(folder) if self._keeps_names else self._names.get(inode, {})
        return {
            name: self._left(status.st_ino, folder / name)
            if stat.S_ISDIR(status.st_mode)
            else self._bytes.get(status.st_ino, b"")
            for name, status in names.items()
        }


def _names(folder: Path) -> dict[str, os.stat_result]:
    return {path.name: path.lstat() for path in folder.iterdir()}


def _write(folder: Path, tree: dict[str, Any]) -> None:
    for name, held in tree.items():
        if isinstance(held, bytes):
            (folder / name).write_bytes(held)
        else:
            (folder / name).mkdir(mode=0o700)
            _write(folder / name, held)


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


class HangingDisk(_SteppingDisk):
    """Hangs while the file `switch` exists, at the steps that it names."""

    def __init__(self, switch: Path) -> None:
        self._switch = switch
        self._sleep = monkey.get_original("time", "sleep")

    def before(self, step: str) -> None:
        while self._switch.exists() and step.partition(":")[0] in self._switch.read_text().split():
            self._sleep(0.02)
