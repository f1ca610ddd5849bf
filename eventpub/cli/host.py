"""What this machine shows of its queues besides opening them: the mqueue file system, and logind's habits."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from eventpub.errors import QueueError, QueuePermissionError
from eventpub.queue.message_queue import MessageQueue
from eventpub.wire import QUEUE_PREFIX

_SYSTEMD = Path("/run/systemd")
_FIRST_LOGIN_UID = 1000  # system users, with lower ids, keep their queues
MOUNT_COMMAND = "mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue"


def mqueue_folder() -> Path | None:
    """Return where this IPC namespace's queues appear as files; None if nothing is mounted."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, folder, kind, *_ = line.split(" ")
        if kind == "mqueue":
            return Path(folder)
    return None


def queue_names(folder: Path) -> list[str]:
    """Return the names of the event queues."""
    prefix = QUEUE_PREFIX.removeprefix("/")
    return sorted(file.name.removeprefix(prefix) for file in folder.iterdir() if file.name.startswith(prefix))


def open_to_look(name: str) -> MessageQueue:
    """Open a queue with the rights that this user has; take nothing from it.

    Raises:
        QueueError: there is no such queue, or this user has no rights.
    """
    with contextlib.suppress(QueuePermissionError):
        return MessageQueue.open(name, write=False, create=False)
    return MessageQueue.open(name, read=False, create=False)


def exists(name: str) -> bool:
    """Return whether there is a queue of that name, as far as this user can tell."""
    try:
        open_to_look(name).close()
    except QueuePermissionError:
        return True
    except QueueError:
        return False
    return True


def logout_removes_queues(uid: int, systemd: Path = _SYSTEMD) -> bool:
    """Return whether systemd-logind removes a user's queues at the last logout.

    A container image may contain logind's folders; `system` exists only where systemd runs.
    """
    if uid < _FIRST_LOGIN_UID or not all((systemd / name).is_dir() for name in ("system", "seats")):
        return False
    files = (Path("/etc/systemd/logind.conf"), *sorted(Path("/etc/systemd/logind.conf.d").glob("*.conf")))
    return removes_ipc("".join(file.read_text(encoding="utf-8") + "\n" for file in files if file.is_file()))


def removes_ipc(logind_conf: str) -> bool:
    """Return what a logind.conf says about RemoveIPC: the last line wins; without one it is on."""
    values = re.findall(r"^\s*RemoveIPC\s*=\s*(\S+)", logind_conf, re.MULTILINE)
    return not values or values[-1].lower() in ("yes", "true", "on", "1")
