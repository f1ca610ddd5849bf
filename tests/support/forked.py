"""Runs a function in a forked child, which may lower its limits, become another user, leave a namespace."""

from __future__ import annotations

# a child that became another user may not be able to read the library: what commands load is loaded before
import configparser  # noqa: F401
import ctypes
import encodings.ascii  # noqa: F401
import itertools
import os
import pickle
import platform
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

_uids = itertools.count(100_000 + os.getpid() % 10_000 * 100)
_CLONE_NEWIPC = 0x08000000
_LIMIT_SECONDS = 30

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or make a namespace")


def can_others_start_python() -> bool:
    """Tell whether another user may start this interpreter, which pyenv puts into a home."""
    interpreter = Path(sys.executable).resolve()
    return all(folder.stat().st_mode & 0o001 for folder in interpreter.parents)


starts_python_as_another = pytest.mark.skipif(
    os.geteuid() != 0 or not can_others_start_python(),
    reason="only root can become another user, who must be able to start this Python",
)


def other_uid() -> int:
    """Return a user with no queue counted to it: those of a namespace that ended still are for a while."""
    return next(_uids)


def in_child(function: Callable[[], T], *, uid: int | None = None, gid: int | None = None) -> T:
    """Return what `function` returns, or raise what it raises, in a child; as another user where given."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and up, where a test left a thread
        pid = os.fork()
    if pid == 0:
        signal.alarm(_LIMIT_SECONDS)  # a child that hangs fails its test
        try:
            if uid is not None:
                os.setgroups([])
                os.setgid(uid if gid is None else gid)
                os.setuid(uid)
            outcome = (function(), None)
        except BaseException as error:  # noqa: BLE001, it goes to the parent
            outcome = (None, error)
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(pickle.dumps(outcome))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert data, f"the child ended with wait status {status}"
    result, error = pickle.loads(data)
    if error is not None:
        raise error
    return result


def in_own_namespace(function: Callable[[], T], *, uid: int | None = None, **sysctls: int) -> T:
    """Run `function` in a child with its own IPC namespace, tuned; as another user where given. Takes root."""

    def run() -> T:
        assert ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWIPC) == 0, os.strerror(ctypes.get_errno())
        for name, value in sysctls.items():
            (Path("/proc/sys/fs/mqueue") / name).write_text(f"{value}\n")
        return in_child(function, uid=uid)

    return in_child(run)


def refuse_mq_open(error: int) -> None:
    """Have every mq_open of this process answered with an errno, as a container's seccomp profile does."""
    number = {"x86_64": 240, "aarch64": 180}.get(platform.machine())
    if number is None:
        pytest.skip("the number of mq_open is known for x86_64 and aarch64 only")
    instructions = (
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 0, 1, number),  # unless it is this one, skip one
        (0x06, 0, 0, 0x00050000 | error),
        (0x06, 0, 0, 0x7FFF0000),  # allow
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in instructions))
    description = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(program))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, description, 0, 0) == 0, os.strerror(ctypes.get_errno())  # SECCOMP_MODE_FILTER
