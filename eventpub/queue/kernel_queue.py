"""Opens, creates and removes queues by posix_ipc, and maps what it raises to our errors.

Sizes are tried as `SizeRange` says, the best first.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

from eventpub.errors import QueueError, QueueLimitError
from eventpub.wire import QUEUE_PREFIX

from . import holders, kernel_limits, remedies
from .kernel_limits import SizeRange
from .log import warn
from .posix import posix_ipc
from .refusal import is_about_size, map_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .access import Wish
    from .kernel_limits import KernelLimits, QueueSize

logger = logging.getLogger(__name__)

POSIX_IPC_VERSION: str = posix_ipc.__version__
Refused = (posix_ipc.Error, OSError, ValueError)  # what posix_ipc raises at all

# What posix_ipc raises when it opens or removes a queue -> errno; its OSErrors often have a text only.
_ERRNO_OF_TYPE = {
    posix_ipc.ExistentialError: errno.ENOENT,
    posix_ipc.PermissionsError: errno.EACCES,
    ValueError: errno.EINVAL,
}
_ERRNO_OF_TEXT = {"files open": errno.EMFILE, "open files": errno.ENFILE, "Insufficient": errno.ENOSPC}


def open_existing(name: str, *, read: bool, write: bool) -> posix_ipc.MessageQueue:
    """Open a queue that is there.

    Raises:
        QueueError: it is not there, or does not let this user in.
    """
    try:
        return posix_ipc.MessageQueue(QUEUE_PREFIX + name, read=read, write=write)
    except Refused as exc:
        raise _map_error(name, exc, " and ".join(["receive from it"] * read + ["send to it"] * write)) from exc


def create_new(
    name: str, wish: Wish, *, read: bool, write: bool, or_less: bool
) -> posix_ipc.MessageQueue | None:
    """Create a queue of the best size there is, for its owner alone; None if it is there by now.

    Raises:
        QueueError: the kernel refuses it.
    """
    limits = kernel_limits.read_limits()
    kernel_limits.raise_soft_limit()
    refused: Exception | None = None
    for size in _sizes_to_try(wish, limits, or_less=or_less):
        try:
            queue = posix_ipc.MessageQueue(
                QUEUE_PREFIX + name, posix_ipc.O_CREX, wish.mode & 0o700, *size, read=read, write=write
            )
        except posix_ipc.ExistentialError:
            return None
        except Refused as exc:
            if not is_about_size(_errno_of(exc)):
                raise _map_error(name, exc, "create it") from exc
            refused = exc
        else:
            if size != wish.sizes.wanted:
                text = remedies.explain_size(limits, wish.sizes, got=size, describe_holders=_describe_holders)
                warn(logger, "event queue %r was created smaller than wanted: %s", name, text)
            return queue
    text = remedies.explain_size(limits, wish.sizes, describe_holders=_describe_holders)
    raise QueueLimitError(name, text) from refused


def remove_queue(name: str) -> None:
    """Remove a queue, even one that its owner may not open; a process that has it open keeps an orphan.

    Raises:
        QueueError: it does not exist, or belongs to another user.
    """
    try:
        posix_ipc.unlink_message_queue(QUEUE_PREFIX + name)
    except Refused as exc:
        raise _map_error(name, exc, "remove it") from exc


def _describe_holders() -> str:
    return holders.describe_owned(os.getuid())


def _sizes_to_try(wish: Wish, limits: KernelLimits, *, or_less: bool) -> Iterator[QueueSize]:
    yield from wish.sizes.sizes_to_try(limits)
    if or_less and wish.sizes.best_within(limits):  # it is for other queues that it was refused
        yield from SizeRange.between(*wish[:2], or_less=True).sizes_to_try(limits)


def _map_error(name: str, exc: Exception, doing: str) -> QueueError:
    number = _errno_of(exc)
    return map_refusal(name, number, doing, _peek_status(name) if number == errno.EACCES else None)


def _errno_of(exc: Exception) -> int:
    if isinstance(exc, OSError):
        by_text = (number for text, number in _ERRNO_OF_TEXT.items() if text in str(exc))
        return exc.errno or next(by_text, errno.ENOSYS)
    return _ERRNO_OF_TYPE.get(type(exc), errno.ENOSYS)


def _peek_status(name: str) -> os.stat_result | None:
    """Find out whose a queue is that does not let us in."""
    for direction in ({"read": False}, {"write": False}):
        try:
            queue = posix_ipc.MessageQueue(QUEUE_PREFIX + name, **direction)
        except Refused:
            continue
        try:
            return os.fstat(queue.mqd)
        finally:
            queue.close()
    try:
        return os.stat(f"/dev/mqueue{QUEUE_PREFIX}{name}")  # noqa: PTH116, pathlib takes 5 ms to import
    except OSError:
        return None
