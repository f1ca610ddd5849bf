"""What the settings ask of this host: a folder for the spool, a group for the queue."""

from __future__ import annotations

import errno
import grp
import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.errors import ConfigError
from eventpub.queue import access
from eventpub.sidecar.spool.errors import SpoolError, suggest_folder
from eventpub.sidecar.spool.folder import DAMAGED, DEAD, RESERVE
from eventpub.sidecar.spool.slot import check_folders

from .config import SECTION_PREFIX

if TYPE_CHECKING:
    from .config import SidecarConfig

SYSTEM_SPOOL_DIR = Path("/var/spool/eventpub")


def default_spool_dir() -> Path:
    """Return the spool's folder if `spool.dir` is unset.

    `/var/spool/eventpub` for root and for users who may write there; else `eventpub/spool` below
    `$XDG_STATE_HOME` (`~/.local/state` if unset); else, for a user without a home, `/var/tmp/eventpub-UID`.
    """
    if os.geteuid() == 0 or _is_writable(SYSTEM_SPOOL_DIR):
        return SYSTEM_SPOOL_DIR
    state = Path(os.path.expanduser(os.environ.get("XDG_STATE_HOME") or "~/.local/state"))  # noqa: PTH111, never raises
    if state.is_absolute():
        nearest = next(folder for folder in (state, *state.parents) if os.access(folder, os.F_OK))
        if _is_writable(nearest):
            return state / "eventpub" / "spool"
    return Path(f"/var/tmp/eventpub-{os.geteuid()}")  # noqa: S108, unlike /tmp it survives a reboot


def check_host(config: SidecarConfig, section: str) -> None:
    """Check whether this host has what the settings name, as far as this user can tell; leaves nothing behind.

    Raises:
        ConfigError: there is no such group, or the spool's folders can neither be used nor created.
    """
    if config.queue_group is not None and not config.queue_group.isdecimal():
        try:
            grp.getgrnam(config.queue_group)
        except KeyError:
            raise ConfigError(section, "queue.group", config.queue_group, "there is no such group") from None
    folder = config.spool_dir or default_spool_dir()
    nearest = folder
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if nearest != folder:  # a writable folder may still refuse new folders, like /proc
            os.rmdir(tempfile.mkdtemp(prefix=".eventpub-", dir=nearest))  # noqa: PTH106, it is a text
        elif not folder.is_dir():
            raise NotADirectoryError(0, "is not a folder")
        elif not _is_writable(folder):
            raise PermissionError(0, _explain_unwritable(folder))
        check_folders(folder / section.removeprefix(SECTION_PREFIX), (DEAD, DAMAGED, RESERVE))
    except OSError as error:
        reason = str(error.strerror)
        if nearest != folder:
            reason = f"cannot be created in {nearest}: {reason}"
        if error.errno == errno.EACCES:
            reason += f"; as root: {suggest_folder(folder)}"
        raise ConfigError(section, "spool.dir", str(folder), reason) from error
    except SpoolError as error:
        raise ConfigError(section, "spool.dir", str(folder), f"{error.path}: {error.reason}") from error


def _explain_unwritable(folder: Path) -> str:
    me, status = access.user_name(os.geteuid()), folder.stat()
    remedy = "run: chmod 700" if status.st_uid == os.geteuid() else f"as root: chown -R {me}:"
    owner = access.describe_owner(status)
    return f"this user, {me}, may not write to it ({owner}); {remedy} {shlex.quote(str(folder))}"


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)
