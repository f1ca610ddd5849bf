"""`key.secret_file` -> the secret; neither it nor what may be it is shown."""

from __future__ import annotations

import os
import shlex
import stat
import time
from typing import TYPE_CHECKING

from eventpub.errors import ConfigError, NotYetError
from eventpub.queue import access
from eventpub.settings import ini
from eventpub.settings.momentary import is_momentary

if TYPE_CHECKING:
    from pathlib import Path

_EXPOSED = stat.S_IROTH | stat.S_IWOTH  # a group may be the sidecar's own, as in Kubernetes
_MAX_BYTES = 64 * 1024  # more than any key needs; bounds the reading of paths such as /dev/zero


def read_secret(path: Path, settled_seconds: float) -> bytes:
    """Return the secret that a file holds in base64.

    Args:
        path: the file.
        settled_seconds: how long it must have been unchanged: half of a key that is being written may be
            a valid key too.

    Raises:
        NotYetError: there is no such file, or nothing in it, yet; or this host cannot open files now.
        ConfigError: it cannot be read now, has just been changed, or is not base64; its content is not shown.
    """
    kind = ini.base64_bytes()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
            age_seconds = time.time() - os.fstat(file.fileno()).st_ctime
        if 0 <= age_seconds < settled_seconds:  # a time in the future comes from another clock and is ignored
            raise ConfigError(
                str(path), "", "", "key.secret_file has just been changed; retrying once the file is stable"
            )
        if not content.strip():
            raise NotYetError(
                str(path), "", "", "key.secret_file is empty; write the secret into it, in base64"
            ) from None
        if len(content) > _MAX_BYTES:
            raise ValueError  # noqa: TRY301, the beginning of something must not become a key
        return kind.parse(content.decode("ascii"))
    except OSError as error:
        may_come = isinstance(error, FileNotFoundError) or is_momentary(error)
        kind_of_error = NotYetError if may_come else ConfigError
        remedy = _suggest_remedy(path, error)
        raise kind_of_error(
            _describe_file(path), "", "", f"key.secret_file cannot be read: {error.strerror}{remedy}"
        ) from None
    except ValueError:  # not chained: its text may quote the secret
        raise ConfigError(str(path), "", "", f"key.secret_file: expected {kind.allowed}") from None


def find_exposure(path: Path) -> str | None:
    """Return who else may read or replace a secret's file, with the command to fix that, or None."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:  # `read_secret` reports it
        return None
    if not mode & _EXPOSED:
        return None
    return (
        f"key.secret_file may be read or changed by every user of this machine (mode {mode:04o}); "
        f"run: chmod o= {shlex.quote(str(path))}"
    )


def _suggest_remedy(path: Path, error: OSError) -> str:
    """Return what makes the file readable, without its path where that is not shown."""
    if isinstance(error, FileNotFoundError):
        return "; write the secret into it, in base64"
    if not isinstance(error, PermissionError):
        return ""
    me = access.user_name(os.geteuid())
    named = f"; as root: chown {me} {shlex.quote(str(path))}"
    return named if _describe_file(path) == str(path) else f"; this user is {me}"


def _describe_file(path: Path) -> str:
    """Return the path, or not if there is neither such a file nor its folder: it may be the secret itself."""
    folder = path.parent
    is_path = os.path.exists(path) or (path.is_absolute() and folder != folder.parent and os.path.isdir(folder))  # noqa: PTH110, PTH112, they never raise
    return str(path) if is_path else "a path that is not shown, as it may be the secret"
