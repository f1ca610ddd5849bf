"""What the measurements need from Linux: cores, CPU time and memory of a process, room for a deep queue."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent

# One core for what is measured and one for what feeds it; the same one on a machine that has no other.
FEEDING_CORE, *_, MEASURED_CORE = sorted(os.sched_getaffinity(0)) * 2

_CLONE_NEWIPC = 0x08000000
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_DEADLINE_SECONDS = 20.0


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run the block, and whatever processes it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process, all its threads and the children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND


def core_busy_seconds(core: int) -> float:
    """Return how long a core has not been idle."""
    (line,) = (line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, *interrupts_and_steal = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts_and_steal)) / _TICKS_PER_SECOND


def peak_mb(pid: int) -> float:
    """Return the most memory a process has had resident, files it maps included, in millions of bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def has_open(pid: int, target: str) -> bool:
    """Tell whether a process has something open that the kernel calls `target`."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if str(fd.readlink()) == target:
                return True
    return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, or raise TimeoutError."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_DEADLINE_SECONDS:g} s: {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def private_queues(max_messages: int) -> Iterator[None]:
    """Run the block, and the processes it starts, with message queues of its own of up to `max_messages`.

    The machine's own settings stay as they are. RLIMIT_MSGQUEUE holds all the same.

    Raises:
        PermissionError: this takes root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/ipc", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(libc.unshare(_CLONE_NEWIPC))
    except OSError:
        os.close(home)
        raise
    try:
        Path("/proc/sys/fs/mqueue/msg_max").write_text(str(max_messages))
        yield
    finally:
        _check(libc.setns(home, _CLONE_NEWIPC))
        os.close(home)


def describe() -> str:
    """Return in one line what the figures were measured on."""
    model = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0].strip("\t :")
    return (
        f"{os.cpu_count()} x {model or platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"
    )


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
