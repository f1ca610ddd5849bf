"""What queue the kernel lets this process create.

A queue of `n` messages of `size` bytes is refused unless `n` and `size` are within the sysctls of this IPC
namespace, `fs.mqueue.msg_max` and `fs.mqueue.msgsize_max`, and its `need_bytes` are still free in
RLIMIT_MSGQUEUE, which counts all queues that one uid created on this machine, in all containers. A fresh Linux
has 10, 8,192 and 819,200; the size that eventpub wants, 10,000 messages of 102,400 bytes, needs about 1 GB.
That is only accounting: memory is taken by waiting messages, not by free room.

`SizeRange` chooses the size to ask for; `remedies` says how to get a larger one. Everything but `read_limits`
and `raise_soft_limit` is pure; nothing here opens a queue.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from eventpub.wire import MAX_EVENT_SIZE, MAX_QUEUE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULTS = {
    "msg_max": 10,
    "msgsize_max": 8192,
    "queues_max": 256,
}  # of a fresh kernel, used if /proc is hidden
UNLIMITED = sys.maxsize

_MESSAGE_BYTES = 48  # booked per message beside its size …
_NODE_BYTES = 48  # … and once more for each priority that can be in use at a time: at most
_PRIORITIES = 32_768

_SHARE = 4  # of RLIMIT_MSGQUEUE one queue takes a quarter at most, unless its size is given


class QueueSize(NamedTuple):
    """How many messages a queue holds and how many bytes each may have.

    A named tuple, since importing dataclasses would cost every application 20 ms.
    """

    max_messages: int
    max_message_size: int

    def __str__(self) -> str:
        return f"{self.max_messages:,} messages of {self.max_message_size:,} bytes"


WANTED = QueueSize(MAX_QUEUE_SIZE, MAX_EVENT_SIZE)
CEILING = QueueSize(65_536, 16 * 1024 * 1024)  # of every kernel, with any settings

# A queue that has to shrink goes from one of these to the next, so gives up one number at a time:
_STEPS = (
    WANTED,
    QueueSize(64, MAX_EVENT_SIZE),  # depth first, as long as a burst of this many events fits
    QueueSize(64, 8192),  # then message size, down to what a fresh kernel has
    QueueSize(10, 8192),  # then depth, likewise
    QueueSize(10, 4096),  # less than this is of no use
)
_LEAST = _STEPS[-1]


class KernelLimits(NamedTuple):
    """The limits that apply to a new queue."""

    msg_max: int
    msgsize_max: int
    queues_max: int
    soft_bytes: int  # RLIMIT_MSGQUEUE, or UNLIMITED
    hard_bytes: int


class SizeRange(NamedTuple):
    """The sizes that would do, from the least of use to the one that is wanted; make one with `between`."""

    least: QueueSize
    wanted: QueueSize

    @classmethod
    def between(
        cls, max_messages: int | None, max_message_size: int | None, *, or_less: bool = False
    ) -> SizeRange:
        """Return the range for numbers that were given; None leaves a number to the kernel.

        Args:
            max_messages: the messages it must hold; None for the best from 10 to 10,000.
            max_message_size: the bytes of a message it must take; None for the best from 4,096 to 102,400.
            or_less: the numbers are wished for, and fewer will do.
        """
        given = (max_messages, max_message_size)
        wanted = QueueSize(
            *(best if number is None else number for number, best in zip(given, WANTED, strict=True))
        )
        least = QueueSize(
            *(
                min(few, most) if number is None or or_less else number
                for number, few, most in zip(given, _LEAST, wanted, strict=True)
            )
        )
        return cls(least, wanted)

    @property
    def is_given(self) -> bool:
        """Whether a number in it was given, so that no other will do."""
        return any(least == most for least, most in zip(self.least, self.wanted, strict=True))

    @property
    def is_possible(self) -> bool:
        """Whether there is a kernel that takes the wanted size."""
        return all(1 <= number <= ceiling for number, ceiling in zip(self.wanted, CEILING, strict=True))

    def best_within(self, limits: KernelLimits) -> QueueSize | None:
        """Return the size to ask the kernel for first; None where what it allows is too little to be of use.

        It leaves room for other queues: unless a number is given, it takes no more than a quarter of
        RLIMIT_MSGQUEUE, if a queue of that size is of use.
        """
        share = None if self.is_given else self.fit_bytes(limits, limits.hard_bytes // _SHARE)
        return share or self.fit_bytes(limits, limits.hard_bytes)

    def sizes_to_try(self, limits: KernelLimits) -> Iterator[QueueSize]:
        """Yield the sizes to ask the kernel for, the best first; ask for the next when one is refused.

        A size within the limits is refused when other queues of the user hold part of RLIMIT_MSGQUEUE, so each
        takes about half of what the one before took, down to the least of use. One that is given as a whole is
        the kernel's to judge.
        """
        if not self.is_possible:
            return
        if self.least == self.wanted:
            yield self.wanted
            return
        least_bytes = need_bytes(self.least)
        size = self.best_within(limits)
        while size:
            yield size
            if need_bytes(size) <= least_bytes:
                return
            size = self.fit_bytes(limits, max(need_bytes(size) // 2, least_bytes))

    def fit_bytes(self, limits: KernelLimits, budget_bytes: int) -> QueueSize | None:
        """Return the best size that takes at most `budget_bytes` of RLIMIT_MSGQUEUE; None if none is of use.

        Numbers that are given are not judged by the sysctls, which a privileged process may exceed.
        """
        most = QueueSize(
            *(
                most if least == most else min(most, limit)
                for least, most, limit in zip(self.least, self.wanted, limits[:2], strict=True)
            )
        )
        if not (
            self.least.max_messages <= most.max_messages
            and self.least.max_message_size <= most.max_message_size
        ):
            return None
        before = most
        for step in (most, *_STEPS):
            after = QueueSize(
                *(
                    max(least, min(number, top))
                    for least, number, top in zip(self.least, step, most, strict=True)
                )
            )
            if need_bytes(after) <= budget_bytes:
                return _shrink(before, after, budget_bytes)
            before = after
        return None


def _shrink(before: QueueSize, after: QueueSize, budget_bytes: int) -> QueueSize:
    """Return the largest size on the way from one that is too large to one that fits: one number differs."""
    if before.max_message_size == after.max_message_size:
        affordable = budget_bytes // (after.max_message_size + _MESSAGE_BYTES + _NODE_BYTES)
        return after._replace(max_messages=max(after.max_messages, min(before.max_messages, affordable)))
    affordable = (budget_bytes // after.max_messages - _MESSAGE_BYTES - _NODE_BYTES) // 1024 * 1024
    affordable = min(before.max_message_size, affordable)
    return after._replace(max_message_size=max(after.max_message_size, affordable))


def read_limits() -> KernelLimits:
    """Read the limits of this process; those of a fresh kernel if /proc does not show them."""
    import resource  # noqa: PLC0415, Windows has none

    soft, hard = (count_bytes(limit) for limit in resource.getrlimit(resource.RLIMIT_MSGQUEUE))
    return KernelLimits(
        msg_max=_read_sysctl("msg_max"),
        msgsize_max=_read_sysctl("msgsize_max"),
        queues_max=_read_sysctl("queues_max"),
        soft_bytes=soft,
        hard_bytes=hard,
    )


def count_bytes(limit: int) -> int:
    """Return a value of RLIMIT_MSGQUEUE as a number that can be compared."""
    import resource  # noqa: PLC0415, Windows has none

    return UNLIMITED if limit == resource.RLIM_INFINITY else limit


def raise_soft_limit() -> None:
    """Raise this process's soft RLIMIT_MSGQUEUE to its hard limit, which every process may do."""
    import resource  # noqa: PLC0415, Windows has none

    _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (hard, hard))


def need_bytes(size: QueueSize) -> int:
    """Return what a queue uses of RLIMIT_MSGQUEUE."""
    nodes = min(size.max_messages, _PRIORITIES)
    return size.max_messages * (size.max_message_size + _MESSAGE_BYTES) + nodes * _NODE_BYTES


def _read_sysctl(name: str) -> int:
    try:
        with open(f"/proc/sys/fs/mqueue/{name}", encoding="ascii") as file:  # noqa: PTH123, pathlib takes 5 ms
            return int(file.read())
    except OSError:
        return _DEFAULTS[name]
