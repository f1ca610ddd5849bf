"""What only one `eventpub dev` may use: the events of a queue, and a folder that is kept.

Two sidecars of one queue would share its events at random, and the first command to end would remove the queue
of the other.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.queue import holders

from .errors import ClaimedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_END_SECONDS = 2.0  # the sidecar of a command that was killed ends by itself
_POLL_SECONDS = 0.05
_SIDECAR = re.compile(r"sidecar|(eventpub|baseplate)\.sidecars?(\..*)?")  # an argument of its process


@contextlib.contextmanager
def claim_queue(name: str) -> Iterator[None]:
    """Keep others of this user from running `eventpub dev` for a queue during the block.

    Raises:
        ClaimedError: another does, or a sidecar takes the queue's events.
    """
    what = f"queue {name!r}"
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(_name_claim(name))
        except OSError:
            raise ClaimedError(what, "another eventpub dev", "--queue-name OTHER") from None
        deadline = time.monotonic() + _END_SECONDS
        while sidecar := _find_sidecar(name):
            if time.monotonic() > deadline:
                raise ClaimedError(what, f"a sidecar, {sidecar},", "--queue-name OTHER")
            time.sleep(_POLL_SECONDS)
        yield


def is_claimed(name: str) -> bool:
    """Return whether a command of this user, or a sidecar, uses a queue."""
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(_name_claim(name))
        except OSError:
            return True
        return _find_sidecar(name) is not None


@contextlib.contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Make a folder if it is not there, and keep other `eventpub dev` from using it during the block.

    Raises:
        ClaimedError: another does.
    """
    import fcntl  # noqa: PLC0415, Windows has none, and loads this for its help

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ClaimedError(f"folder {folder}", "another eventpub dev", "--keep OTHER") from None
    try:
        yield
    finally:
        os.close(fd)


def _name_claim(name: str) -> str:
    """Return an abstract name of a socket, which the kernel gives up however the process ends."""
    return f"\0eventpub-dev {os.geteuid()} {holders.read_namespace()} {name}"[:107]


def _find_sidecar(name: str) -> holders.Holder | None:
    """Return a sidecar that has the queue open, as far as this user may see it."""
    here = holders.read_namespace()
    for holder in holders.find_holders(name):
        if holder.namespace == here and not holder.removed:
            with contextlib.suppress(OSError):  # it has ended
                words = Path(f"/proc/{holder.pid}/cmdline").read_text(errors="replace").split("\0")
                if any(map(_SIDECAR.fullmatch, words)):
                    return holder
    return None
