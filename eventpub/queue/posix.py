"""The package posix_ipc; where a system has no POSIX queues, what refuses each of them as its kernel would.

macOS and Windows have none, so posix_ipc is not installed there, or comes without them. Applications are
developed there too: `eventpub` can be imported, and only opening a queue fails, unless a `stand_in` is chosen.
"""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any, NoReturn

__all__ = ["HAS_QUEUES", "posix_ipc"]


def _refuse(*_arguments: object, **_options: object) -> NoReturn:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _make_refusing() -> Any:
    """Return what is used of posix_ipc, each call of it refused."""
    error = type("Error", (Exception,), {})
    return SimpleNamespace(
        Error=error,
        BusyError=type("BusyError", (error,), {}),
        ExistentialError=type("ExistentialError", (error,), {}),
        PermissionsError=type("PermissionsError", (error,), {}),
        MessageQueue=_refuse,
        unlink_message_queue=_refuse,
        __version__="missing",
    )


try:
    import posix_ipc
except ImportError:
    posix_ipc = _make_refusing()
if not hasattr(posix_ipc, "MessageQueue"):  # built where the system has semaphores only
    posix_ipc = _make_refusing()

HAS_QUEUES: bool = posix_ipc.MessageQueue is not _refuse
