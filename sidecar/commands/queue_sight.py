"""A kernel queue as the commands see it that look at several: how full it is, whose, and who has it open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventpub.cli import host
from eventpub.errors import QueueError, QueueMissingError, QueuePermissionError
from eventpub.queue import access, holders, kernel_limits

if TYPE_CHECKING:
    from eventpub.queue.holders import Holder


@dataclass(frozen=True, slots=True)
class QueueSight:
    """A kernel queue.

    Attributes:
        name: of the queue.
        error: why it cannot be looked at; empty where it can.
        is_missing: whether there is no such queue.
        depth: messages in it.
        capacity: messages that fit.
        message_bytes: how large one may be.
        owner: owner, group and mode in words.
        owner_uid: whose RLIMIT_MSGQUEUE it counts against.
        counted_bytes: how much of that it takes.
        open_in: the processes that have it open, or a removed one of that name, as far as this user may see.
    """

    name: str
    error: str = ""
    is_missing: bool = False
    depth: int = 0
    capacity: int = 0
    message_bytes: int = 0
    owner: str = ""
    owner_uid: int | None = None
    counted_bytes: int = 0
    open_in: tuple[Holder, ...] = ()


def look_at_queue(name: str, *, with_holders: bool = True) -> QueueSight:
    """Look at a queue; its holders take a look at each process of this host."""
    here = holders.read_namespace()
    found = holders.find_holders(name) if with_holders else ()
    users = tuple(user for user in found if user.namespace == here)
    try:
        with host.open_to_look(name) as queue:
            status = queue.status()
            return QueueSight(
                name,
                depth=queue.depth(),
                capacity=queue.max_messages,
                message_bytes=queue.max_message_size,
                owner=access.describe_owner(status),
                owner_uid=status.st_uid,
                counted_bytes=kernel_limits.need_bytes(queue.size),
                open_in=users,
            )
    except QueueMissingError:
        return QueueSight(name, error="there is no such queue", is_missing=True, open_in=users)
    except QueuePermissionError:
        error = (
            "this user may not look at it, as it is another user's; run the command as its owner, or as root"
        )
        return QueueSight(name, error=error, open_in=users)
    except QueueError as error:
        return QueueSight(name, error=str(error), open_in=users)
