"""Which processes have which event queues open, as far as this user may look: from /proc alone."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from eventpub.wire import QUEUE_PREFIX

from .kernel_limits import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMOVED = " (deleted)"


class Holder(NamedTuple):
    """A process that has a queue open."""

    pid: int
    command: str
    removed: bool  # what it has open has lost its name
    namespace: str  # of its queues, such as ipc:[4026531839]
    uid: int  # whose process it is
    owner: int  # whose queue it is, and so who has it counted to his RLIMIT_MSGQUEUE

    def __str__(self) -> str:
        return f"{self.command} ({self.pid})"


def find_holders(name: str) -> list[Holder]:
    """Return the other processes that have a queue of that name open, as far as this user may see them."""
    return sorted(holder for queue, holder in _find_all() if queue == name and holder.pid != os.getpid())


def find_names() -> list[str]:
    """Return the names of the event queues of this namespace that processes have open."""
    here = read_namespace()
    return sorted({name for name, holder in _find_all() if holder.namespace == here and not holder.removed})


def describe_owned(uid: int) -> str:
    """Say in words which queues of a user there are, and which processes have them open; "" if none is seen."""
    found: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
    for name in _list_files(uid):
        found[name, False] = []
    for name, holder in sorted(_find_all()):
        if holder.owner == uid:
            found[name, holder.removed].append(str(holder))
    return "; ".join(
        f"{name}{', which was removed, is still' if gone else ' is'} open in {', '.join(who) or 'no process'}"
        for (name, gone), who in found.items()
    )


def read_namespace(process: str = "self") -> str:
    """Return the IPC namespace of a process: queues are shared within one only."""
    return os.readlink(f"/proc/{process}/ns/ipc")  # noqa: PTH115, pathlib takes 5 ms to import


def read_limit(pid: int) -> int | None:
    """Return a process's hard RLIMIT_MSGQUEUE in bytes, UNLIMITED as such; None if it does not show it."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/limits", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("Max msgqueue size"):
                hard = line.split()[-2]
                return UNLIMITED if hard == "unlimited" else int(hard)
    return None


def _find_all() -> Iterator[tuple[str, Holder]]:
    """Yield each event queue with each process that has it open."""
    with contextlib.suppress(OSError):  # there is no /proc
        for process in os.listdir("/proc"):  # noqa: PTH208
            if process.isdecimal():
                with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                    yield from _find_queues(process)


def _find_queues(process: str) -> Iterator[tuple[str, Holder]]:
    for link, owner in set(_read_links(f"/proc/{process}/fd")):
        with open(f"/proc/{process}/comm", "rb") as file:  # noqa: PTH123
            # the kernel cuts it at 15 bytes, perhaps within a character
            command = file.read().decode(errors="replace").strip()
        removed = link.endswith(_REMOVED)
        name = link.removeprefix(QUEUE_PREFIX).removesuffix(_REMOVED if removed else "")
        uid = os.stat(f"/proc/{process}").st_uid  # noqa: PTH116
        yield name, Holder(int(process), command, removed, read_namespace(process), uid, owner)


def _read_links(folder: str) -> Iterator[tuple[str, int]]:
    """Yield the event queues among the files that a process has open, each with its owner."""
    for number in os.listdir(folder):  # noqa: PTH208
        with contextlib.suppress(OSError):  # closed meanwhile
            link = os.readlink(f"{folder}/{number}")  # noqa: PTH115
            if link.startswith(QUEUE_PREFIX):
                yield link, os.stat(f"{folder}/{number}").st_uid  # noqa: PTH116


def _list_files(uid: int) -> list[str]:
    """Return the names of a user's queues, ours without the prefix, where the kernel shows them as files."""
    with contextlib.suppress(OSError), os.scandir("/dev/mqueue") as entries:
        names = [f"/{entry.name}" for entry in entries if entry.stat().st_uid == uid]
        return sorted(name.removeprefix(QUEUE_PREFIX) for name in names)
    return []
