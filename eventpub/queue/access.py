"""Who owns a queue and who may use it: owner, group and mode, read and set through a descriptor.

Uses only descriptors and stat results, and never opens a queue.
"""

from __future__ import annotations

import os
import stat
from types import NoneType
from typing import TYPE_CHECKING, NamedTuple

from .kernel_limits import SizeRange

if TYPE_CHECKING:
    from typing_extensions import Self

    from .kernel_limits import QueueSize

DEFAULT_MODE = 0o600  # for sidecar and applications of one user; otherwise 0620 and a group
_ALL_RIGHTS = 0o777


class Wish(NamedTuple):
    """The wanted size, mode and group of a queue; None leaves it to the kernel or to the creating process."""

    max_messages: int | None
    max_message_size: int | None
    mode: int
    group: str | None

    @property
    def sizes(self) -> SizeRange:
        """The sizes that would do."""
        return SizeRange.between(self.max_messages, self.max_message_size)

    def checked(self) -> Self:
        """Return self, if it is valid; the kernel may still refuse it.

        Raises:
            TypeError, ValueError: a value has the wrong type, or cannot be used.
        """
        for name in ("max_messages", "max_message_size"):
            if not isinstance(getattr(self, name), (int, NoneType)):
                raise TypeError(
                    f"{name} is {getattr(self, name)!r}: give a whole number, or None for the largest"
                )
        if not isinstance(self.mode, int) or not 0 <= self.mode <= _ALL_RIGHTS:
            raise ValueError(f"mode is {self.mode!r}: give permission bits as an octal number, such as 0o620")
        if not isinstance(self.group, (str, NoneType)):
            raise TypeError(f"group is {self.group!r}: give a group's name, or its number as a text")
        return self

    def apply(self, fd: int) -> None:
        """Set the group of a new queue, then its mode, so that no other group gets access in between.

        Unlike mq_open, this does not apply the umask.

        Raises:
            LookupError: there is no such group.
            OSError: this user may not give a queue to that group.
        """
        if self.group is not None:
            import grp  # noqa: PLC0415, Windows has none

            gid = int(self.group) if self.group.isdecimal() else grp.getgrnam(self.group).gr_gid
            os.fchown(fd, -1, gid)
        os.fchmod(fd, self.mode)

    def differences(self, size: QueueSize, status: os.stat_result) -> str:
        """Describe how a queue of that size and status differs from what was wanted; empty if it does not.

        The default mode was not asked for explicitly: with it, only additional rights to read are mentioned.
        """
        found = []
        if self.max_messages not in (None, size.max_messages):
            found.append(f"it holds {size.max_messages:,} messages, not {self.max_messages:,}")
        if self.max_message_size not in (None, size.max_message_size):
            found.append(f"a message may have {size.max_message_size:,} bytes, not {self.max_message_size:,}")
        if mode_of(status) != self.mode and (self.mode != DEFAULT_MODE or describe_readers(status)):
            found.append(f"its mode is {mode_of(status):04o}, not {self.mode:04o}{describe_readers(status)}")
        if self.group not in (None, group_name(status.st_gid), str(status.st_gid)):
            found.append(f"its group is {group_name(status.st_gid)}, not {self.group}")
        return ", ".join(found)


def mode_of(status: os.stat_result) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(status.st_mode)


def describe_owner(status: os.stat_result) -> str:
    """Return owner, group and mode in words: `alice:events, mode 0620`."""
    return f"{user_name(status.st_uid)}:{group_name(status.st_gid)}, mode {mode_of(status):04o}"


def user_name(uid: int) -> str:
    """Return a user's name, or its number if it has none."""
    import pwd  # noqa: PLC0415, Windows has none

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return a group's name, or its number if it has none."""
    import grp  # noqa: PLC0415, Windows has none

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def describe_readers(status: os.stat_result) -> str:
    """Say who besides the owner may receive, and so take events unnoticed; empty if nobody may."""
    who = "any user" if status.st_mode & stat.S_IROTH else f"group {group_name(status.st_gid)}"
    return f" ({who} can take events)" if status.st_mode & (stat.S_IROTH | stat.S_IRGRP) else ""
