"""Why a spool cannot be used."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from eventpub.errors import EventPubError
from eventpub.process.descriptors import name_remedy
from eventpub.queue.access import user_name

if TYPE_CHECKING:
    from pathlib import Path

# these last until an operator fixes something; all others (a full disk, no free descriptors) may pass
_LASTING = frozenset(
    {
        errno.EACCES, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV, errno.ENOENT,
        errno.ENOTDIR, errno.EOPNOTSUPP, errno.EPERM,
    }
)  # fmt: skip

REPAIR = "free space on the disk, or repair it"


def suggest_folder(path: Path) -> str:
    """Return the command that makes a folder for this user alone, which takes root."""
    return f"install -d -m 0700 -o {user_name(os.geteuid())} {path}"


class SpoolError(EventPubError):
    """The spool cannot be used: `path` and `reason` say where and why. Raised at start only."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"spool {self.path}: {self.reason}"


class SpoolDiskError(SpoolError):
    """The spool's disk is full or fails; trying again later may work."""


def map_error(path: Path, error: OSError, what: str) -> SpoolError:
    """Return the error to raise for one of the system's.

    Args:
        path: the file or folder.
        error: what the system said.
        what: what could not be done: `cannot be made`.

    Returns:
        A SpoolDiskError if waiting may help, a SpoolError if an operator has to fix something.
    """
    if error.errno == errno.EACCES:
        remedy = f"as root: {suggest_folder(path)}, or name another folder in spool.dir"
        return SpoolError(str(path), f"{what}: {error.strerror}; {remedy}")
    if error.errno in _LASTING:
        return SpoolError(str(path), f"{what}: {error.strerror}; fix that, or name another folder in spool.dir")
    return SpoolDiskError(str(path), f"{what}: {error.strerror}; {name_remedy(error, REPAIR)}")
