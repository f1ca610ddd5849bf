"""Why a queue cannot be opened: name or errno -> the error to raise, with its remedy.

Knows nothing about posix_ipc; `eventpub.queue.message_queue` finds the errno.
"""

from __future__ import annotations

import errno
import os
import string
import sys

from eventpub.errors import (
    QueueError,
    QueueLimitError,
    QueueMissingError,
    QueueNameError,
    QueuePermissionError,
    QueueUnsupportedError,
)
from eventpub.wire import QUEUE_PREFIX

from . import access, kernel_limits
from .posix import HAS_QUEUES

_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
_NAME_LENGTH = 200  # the kernel takes 255; the rest is for the prefix and for what doctor appends


def check_name(name: str) -> None:
    """Raise QueueNameError unless `name` is a valid queue name, which no path can be."""
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= _NAME_LENGTH
        or name[0] == "."
        or not _NAME_CHARACTERS.issuperset(name)
    ):
        raise QueueNameError(
            name,
            f"use 1 to {_NAME_LENGTH} letters, digits, dots, dashes and underscores, not beginning with a dot",
        )


def is_about_size(number: int) -> bool:
    """Return whether an errno means that the size was refused.

    The sysctls refuse with EINVAL, RLIMIT_MSGQUEUE with EMFILE, which also means no free file descriptors.
    """
    return number == errno.EINVAL or (number == errno.EMFILE and _have_descriptors())


def map_refusal(name: str, number: int, doing: str, status: os.stat_result | None = None) -> QueueError:
    """Return the error for a refusal with a reason other than size.

    Args:
        name: the queue.
        number: the errno.
        doing: what was refused, as in "may not open it to write".
        status: the owner and mode of the queue, for EACCES; None if they cannot be seen.
    """
    match number:
        case errno.ENOENT:
            return QueueMissingError(
                name, f"there is no such queue; start its sidecar, or run `eventpub queue create {name}`"
            )
        case errno.EACCES:
            me = access.user_name(os.geteuid())
            whose = (
                access.describe_owner(status) if status else "another user's (mount /dev/mqueue to see whose)"
            )
            handing = ""
            if doing == "receive from it":  # as only a sidecar does, which was not the first
                path = f"/dev/mqueue{QUEUE_PREFIX}{name}"
                handing = f"if its sidecar runs as {me}, hand it over, as root: chown {me} {path}; or "
            return QueuePermissionError(
                name,
                f"{me} may not {doing}: it is {whose}; {handing}set `queue.mode` to 0620 and `queue.group` to "
                "a group of the applications' users, or run both as one user, and have the sidecar create it "
                f"again, as root: eventpub queue drop {name}",
            )
        case errno.EMFILE | errno.ENFILE:
            return QueueLimitError(name, "no file descriptors are left; close some or raise `ulimit -n`")
        case errno.ENOSPC:
            count = kernel_limits.read_limits().queues_max
            return QueueLimitError(
                name, f"there are {count} queues already; run `sysctl -w fs.mqueue.queues_max={2 * count}`"
            )
        case _ if not HAS_QUEUES:
            return QueueUnsupportedError(name, explain_absence())
        case _:
            return QueueUnsupportedError(
                name,
                f"this kernel or container refuses POSIX message queues ({os.strerror(number)}); it needs "
                "CONFIG_POSIX_MQUEUE, and a seccomp profile that allows mq_open as docker's default does",
            )


def explain_absence() -> str:
    """Say what to do on a system that has no queues."""
    system: str = sys.platform  # or mypy takes this for Linux
    if system == "linux":
        return "posix_ipc cannot be imported; run `pip install --force-reinstall posix-ipc`"
    system = {"darwin": "macOS", "win32": "Windows"}.get(system, system)
    return (
        f"{system} has no POSIX message queues; to develop here, set EVENTPUB_QUEUE to print, discard or "
        "memory; to have events delivered, run on Linux, for instance in a container"
    )


def _have_descriptors() -> bool:
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError:
        return False
    return True
