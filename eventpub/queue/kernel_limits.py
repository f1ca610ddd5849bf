"""What queue the kernel lets this process create, and the commands that would allow a larger one.

A queue of `n` messages of `size` bytes is refused unless `n` and `size` are within the sysctls of this IPC
namespace, `fs.mqueue.msg_max` and `fs.mqueue.msgsize_max`, and its `need_bytes` are still free in
RLIMIT_MSGQUEUE, which counts all queues that one uid created on this machine, in all containers. A fresh Linux
has 10, 8,192 and 819,200; the size that eventpub wants, 10,000 messages of 102,400 bytes, needs about 1 GB.
That is only accounting: memory is taken by waiting messages, not by free room.

Everything but `read_limits` and `raise_soft_limit` is pure; nothing here opens a queue.
"""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, NamedTuple

from eventpub.wire import MAX_EVENT_SIZE, MAX_QUEUE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

_MESSAGE_OVERHEAD = 96  # bytes counted per message besides its size: two structs of 48 bytes
_DEFAULTS = {
    "msg_max": 10,
    "msgsize_max": 8192,
    "queues_max": 256,
}  # of a fresh kernel, used if /proc is hidden
UNLIMITED = sys.maxsize

# A queue that has to shrink gives up depth first, as long as a burst of this many events fits …
_COMFORTABLE_MESSAGES = 64
# … then message size, in whole KiB, and is refused when either falls below these, too little to be of use.
_MINIMUM_MESSAGES = 10
_MINIMUM_MESSAGE_SIZE = 4 * 1024


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


class KernelLimits(NamedTuple):
    """The limits that apply to a new queue."""

    msg_max: int
    msgsize_max: int
    queues_max: int
    soft_bytes: int  # RLIMIT_MSGQUEUE, or UNLIMITED
    hard_bytes: int


def read_limits() -> KernelLimits:
    """Read the limits of this process; those of a fresh kernel if /proc does not show them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    return KernelLimits(
        msg_max=_read_sysctl("msg_max"),
        msgsize_max=_read_sysctl("msgsize_max"),
        queues_max=_read_sysctl("queues_max"),
        soft_bytes=UNLIMITED if soft == resource.RLIM_INFINITY else soft,
        hard_bytes=UNLIMITED if hard == resource.RLIM_INFINITY else hard,
    )


def raise_soft_limit() -> None:
    """Raise this process's soft RLIMIT_MSGQUEUE to its hard limit, which every process may do."""
    _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (hard, hard))


def need_bytes(size: QueueSize) -> int:
    """Return what a queue uses of RLIMIT_MSGQUEUE; 48 bytes too many for each message beyond 32,768."""
    return size.max_messages * (size.max_message_size + _MESSAGE_OVERHEAD)


def sizes_to_try(
    limits: KernelLimits, max_messages: int | None = None, max_message_size: int | None = None
) -> Iterator[QueueSize]:
    """Yield the sizes to ask the kernel for, the best first; ask for the next when one is refused.

    A size within the limits is refused if other queues of the user hold part of RLIMIT_MSGQUEUE, so each size
    needs about half as much as the one before, down to the smallest useful size. Given numbers never change.

    Args:
        limits: what the kernel allows.
        max_messages: messages it must hold; None for the best up to 10,000.
        max_message_size: bytes that a message may have; None for the best up to 102,400.
    """
    if not _is_possible(_wanted_size(max_messages, max_message_size)):
        return
    least_bytes = need_bytes(_least_size(max_messages, max_message_size))
    budget_bytes = limits.hard_bytes
    while size := fit_queue(limits, budget_bytes, max_messages, max_message_size):
        yield size
        if need_bytes(size) <= least_bytes:
            return
        budget_bytes = max(need_bytes(size) // 2, least_bytes)


def fit_queue(
    limits: KernelLimits,
    budget_bytes: int,
    max_messages: int | None = None,
    max_message_size: int | None = None,
) -> QueueSize | None:
    """Return the best size that uses at most `budget_bytes` of RLIMIT_MSGQUEUE.

    Given numbers are not checked, since a privileged process may exceed the sysctls; None stands for the best
    possible. Returns None if the result would be too small to be useful.
    """
    if max_messages is not None and max_message_size is not None:
        return QueueSize(max_messages, max_message_size)
    messages = max_messages or min(WANTED.max_messages, limits.msg_max)
    size = max_message_size or min(WANTED.max_message_size, limits.msgsize_max)
    least = _least_size(max_messages, max_message_size)
    burst = min(messages, max(least.max_messages, _COMFORTABLE_MESSAGES))

    candidates = [QueueSize(messages, size)]
    if (affordable := _affordable_messages(budget_bytes, size)) >= burst and max_messages is None:
        candidates.append(QueueSize(affordable, size))
    if max_message_size is None:
        candidates.append(QueueSize(burst, _affordable_message_size(budget_bytes, burst)))
    if max_messages is None:
        affordable = _affordable_messages(budget_bytes, least.max_message_size)
        candidates.append(QueueSize(affordable, least.max_message_size))
    for candidate in candidates:
        if (
            least.max_messages <= candidate.max_messages <= messages
            and least.max_message_size <= candidate.max_message_size <= size
            and need_bytes(candidate) <= budget_bytes
        ):
            return candidate
    return None


def explain_size(
    limits: KernelLimits,
    max_messages: int | None = None,
    max_message_size: int | None = None,
    *,
    got: QueueSize | None = None,
) -> str:
    """Say what was wanted, what the kernel gave instead, why, and the commands that would allow everything.

    Args:
        limits: what the kernel allows.
        max_messages: as in `sizes_to_try`.
        max_message_size: likewise.
        got: the size the kernel gave; None if it gave none.
    """
    if refusal := explain_impossible(max_messages, max_message_size):
        return refusal
    wanted = _wanted_size(max_messages, max_message_size)
    outcome = f"got {got} instead of {wanted}" if got else f"the kernel refuses {wanted}"
    reasons = [
        f"{name} is {value:,} and {needed:,} is needed"
        for name, value, needed in (
            ("fs.mqueue.msg_max", limits.msg_max, wanted.max_messages),
            ("fs.mqueue.msgsize_max", limits.msgsize_max, wanted.max_message_size),
            ("RLIMIT_MSGQUEUE", limits.hard_bytes, need_bytes(wanted)),
        )
        if value < needed
    ] or [f"other queues of this user hold too much of RLIMIT_MSGQUEUE, which is {limits.hard_bytes:,}"]
    commands = "\n".join(
        f"  {where + ':':13} {command}" for where, command in list_remedies(wanted, limits).items()
    )
    return f"{outcome}: {'; '.join(reasons)}. Allow it, then drop and create the queue again:\n{commands}"


def list_remedies(wanted: QueueSize, limits: KernelLimits) -> dict[str, str]:
    """Return the commands that would allow a queue of that size, keyed by where they belong.

    They change only what is too low. If nothing is too low, other queues of the user have used up
    RLIMIT_MSGQUEUE, and the commands raise that.
    """
    too_low = {}
    if limits.msg_max < wanted.max_messages:
        too_low["fs.mqueue.msg_max"] = wanted.max_messages
    if limits.msgsize_max < wanted.max_message_size:
        too_low["fs.mqueue.msgsize_max"] = wanted.max_message_size
    need = need_bytes(wanted)
    commands = {}
    docker = [f"--sysctl {name}={value}" for name, value in too_low.items()]
    if too_low:
        commands["now"] = "sysctl -w " + " ".join(f"{name}={value}" for name, value in too_low.items())
        lines = "".join(rf"{name} = {value}\n" for name, value in too_low.items())
        commands["at each boot"] = f"printf '{lines}' > /etc/sysctl.d/60-eventpub.conf"
    if limits.hard_bytes < need or not too_low:
        enough = need if limits.hard_bytes < need else need + limits.hard_bytes
        commands["systemd"] = f"LimitMSGQUEUE={enough} in the [Service] of what creates the queue"
        commands["shell"] = f"ulimit -q {enough}, as root, in the shell that starts it"
        docker.append(f"--ulimit msgqueue={enough}")
    commands["docker run"] = " ".join(docker)
    if too_low:
        sysctls = ", ".join(f'{{name: {name}, value: "{value}"}}' for name, value in too_low.items())
        commands["kubernetes"] = (
            f"securityContext: {{sysctls: [{sysctls}]}}, and kubelet --allowed-unsafe-sysctls 'fs.mqueue.*'"
        )
    return commands


def explain_impossible(max_messages: int | None, max_message_size: int | None) -> str | None:
    """Say why no kernel allows a queue of that size; None if some may. A number of None means the largest."""
    wanted = _wanted_size(max_messages, max_message_size)
    if _is_possible(wanted):
        return None
    return f"a queue of {wanted} is impossible; use at least 1 of 1 byte and at most {CEILING}"


def _wanted_size(max_messages: int | None, max_message_size: int | None) -> QueueSize:
    return QueueSize(
        WANTED.max_messages if max_messages is None else max_messages,
        WANTED.max_message_size if max_message_size is None else max_message_size,
    )


def _least_size(max_messages: int | None, max_message_size: int | None) -> QueueSize:
    return QueueSize(max_messages or _MINIMUM_MESSAGES, max_message_size or _MINIMUM_MESSAGE_SIZE)


def _is_possible(size: QueueSize) -> bool:
    return all(1 <= number <= ceiling for number, ceiling in zip(size, CEILING, strict=True))


def _affordable_messages(budget_bytes: int, message_size: int) -> int:
    return budget_bytes // (message_size + _MESSAGE_OVERHEAD)


def _affordable_message_size(budget_bytes: int, messages: int) -> int:
    return (budget_bytes // messages - _MESSAGE_OVERHEAD) // 1024 * 1024


def _read_sysctl(name: str) -> int:
    try:
        with open(f"/proc/sys/fs/mqueue/{name}", encoding="ascii") as file:  # noqa: PTH123, pathlib takes 5 ms
            return int(file.read())
    except OSError:
        return _DEFAULTS[name]
