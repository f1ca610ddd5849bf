"""What this machine tells about queues without opening them: the mqueue file system, and who has them open."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eventpub.errors import QueuePermissionError
from eventpub.queue.message_queue import MessageQueue
from eventpub.wire import QUEUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMOVED = " (deleted)"
_SYSTEMD = Path("/run/systemd")
_FIRST_LOGIN_UID = 1000  # system users, with lower ids, keep their queues
MOUNT_COMMAND = "mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue"


class Holder(NamedTuple):
    """A process that has a queue open."""

    pid: int
    command: str
    removed: bool  # the queue it has open was removed
    namespace: str  # the namespace of its queues, such as ipc:[4026531839]

    def __str__(self) -> str:
        return f"{self.command} ({self.pid})"


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


def find_holders(name: str) -> list[Holder]:
    """Return the other processes that have a queue of that name open, if this user may see them."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                targets = set(_read_links(process / "fd"))
                for target in {QUEUE_PREFIX + name, QUEUE_PREFIX + name + _REMOVED} & targets:
                    # the kernel cuts it at 15 bytes, perhaps within a character
                    command = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                    found.append(
                        Holder(
                            int(process.name), command, target.endswith(_REMOVED), read_namespace(process.name)
                        )
                    )
    return sorted(found)


def read_namespace(process: str = "self") -> str:
    """Return the IPC namespace of a process: queues are shared within one only."""
    return str(Path(f"/proc/{process}/ns/ipc").readlink())


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


def _read_links(folder: Path) -> Iterator[str]:
    for link in folder.iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            yield str(link.readlink())
