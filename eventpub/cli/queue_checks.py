"""What keeps events from being put on the queues of this host, or soon will: part of `eventpub doctor`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eventpub.errors import QueueError, QueueLimitError, QueueMissingError, QueuePermissionError
from eventpub.queue import access, holders, kernel_limits, remedies
from eventpub.queue.kernel_limits import WANTED, KernelLimits, SizeRange
from eventpub.queue.message_queue import MessageQueue
from eventpub.queue.stand_in import VARIABLE

from . import host
from .findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ANY = SizeRange.between(None, None)
_FILLING = 0.8  # a queue this full is about to refuse events


def examine_queues(wanted: Sequence[str]) -> Iterator[Finding]:
    """Check the kernel, its limits, and the queues that are wanted, or all queues that can be seen.

    A queue that exists is judged by the limits of the process that created it. Those of this process count
    if there is none yet, so that this one would create it.
    """
    folder = host.mqueue_folder()
    names = wanted or (host.queue_names(folder) if folder else holders.find_names())
    is_creator = not any(host.exists(seen) for seen in names)
    if kind := os.environ.get(VARIABLE):
        text = f"{VARIABLE}={kind} is set: what applications started from here put goes to no sidecar"
        yield Finding(Level.WARNING, text, f"unset {VARIABLE}")
    yield from _round_trip(wanted[0] if wanted else None, is_creator=is_creator)
    yield from check_limits(kernel_limits.read_limits(), is_creator=is_creator)
    yield from _check_budget(folder)
    yield from _clean_up()
    for seen in names:
        yield from _check_queue(seen, is_wanted=bool(wanted))
        yield from _check_users(seen)


def _round_trip(name: str | None, *, is_creator: bool) -> Iterator[Finding]:
    """Create a queue, send a message to it and take it back."""
    scratch = f"{name[:150] if name else 'eventpub'}-doctor-{os.getpid()}"
    try:
        with MessageQueue.open(scratch) as queue:
            queue.unlink()
            came_back = queue.send(b"{}") and queue.receive() == b"{}"
            size = queue.size
    except QueueLimitError as error:
        text = "this user cannot create another queue; existing ones still work"
        if is_creator:
            yield Finding(Level.WARNING, text, error.reason)
        else:
            yield Finding(Level.OK, f"{text}, and the limits of what created them count, not this process's")
    except QueueError as error:
        yield Finding(Level.FAILING, "this process cannot use queues", error.reason)
    else:
        level = Level.OK if came_back else Level.FAILING
        yield Finding(level, f"a new queue was created, used and removed; it would hold {size}")


def check_limits(limits: KernelLimits, *, is_creator: bool = True) -> Iterator[Finding]:
    """Judge the limits of this process, which count if it is the one that creates queues."""
    text = (
        f"fs.mqueue.msg_max {limits.msg_max:,}, msgsize_max {limits.msgsize_max:,}, "
        f"queues_max {limits.queues_max:,}; RLIMIT_MSGQUEUE {_format_bytes(limits.hard_bytes)}"
    )
    if not is_creator or _ANY.best_within(limits) == WANTED:
        yield Finding(Level.OK, text)
    else:
        yield Finding(
            Level.WARNING,
            f"{text}: queues hold fewer and smaller events than they could",
            remedies.explain_size(limits, _ANY),
        )


def _check_budget(folder: Path | None) -> Iterator[Finding]:
    """Add up what this user's queues use of RLIMIT_MSGQUEUE."""
    if folder is None:
        remedy = f"mount it, as root: {host.MOUNT_COMMAND}"
        yield Finding(Level.OK, "no mqueue file system shows which queues there are", remedy)
        return
    taken = [kernel_limits.need_bytes(queue.size) for queue in _own_queues(folder)]
    text = f"{len(taken)} queues of this user take {sum(taken):,} bytes of its RLIMIT_MSGQUEUE"
    yield Finding(Level.OK, f"{text}; its queues in other containers count too, but cannot be seen here")


def _own_queues(folder: Path) -> Iterator[MessageQueue]:
    for name in host.queue_names(folder):
        try:
            with host.open_to_look(name) as queue:
                if queue.status().st_uid == os.getuid():
                    yield queue
        except QueueError:
            continue


def _clean_up() -> Iterator[Finding]:
    if host.logout_removes_queues(os.getuid()):
        yield Finding(
            Level.WARNING,
            "systemd-logind removes this user's queues when it logs out for the last time",
            "run applications and sidecar as a system user, or set RemoveIPC=no in /etc/systemd/logind.conf",
        )


def _check_queue(name: str, *, is_wanted: bool) -> Iterator[Finding]:
    """Check one queue as an application that sends to it; or unless `is_wanted` as one that may not need it."""
    try:
        with MessageQueue.open(name, read=False, create=False) as queue:
            yield from _check_contents(queue)
    except QueueMissingError as error:
        yield Finding(
            Level.WARNING, f"{name}: does not exist; the first process to open it creates it", error.reason
        )
    except QueuePermissionError as error:
        if not is_wanted:
            text = f"{name}: this user may not send to it; if it should, run doctor with --queue-name {name}"
            yield Finding(Level.OK, text)
            return
        yield Finding(Level.FAILING, f"{name}: this user may not send to it", error.reason)
    except QueueError as error:
        yield Finding(Level.FAILING, f"{name}: cannot be opened", error.reason)


def _check_contents(queue: MessageQueue) -> Iterator[Finding]:
    status = queue.status()
    if who := access.describe_readers(status):
        yield Finding(
            Level.WARNING,
            f"{queue.name}: {access.describe_owner(status)}{who}",
            f"eventpub queue drop {queue.name}, and let its sidecar create it, with `queue.mode` 0600 or 0620",
        )
    else:
        yield Finding(Level.OK, f"{queue.name}: {access.describe_owner(status)}; this user may send to it")

    yield from _check_size(queue, status.st_uid)
    waiting = queue.depth()
    filling = waiting >= _FILLING * queue.max_messages
    yield Finding(
        Level.WARNING if filling else Level.OK,
        f"{queue.name}: {waiting:,} of {queue.max_messages:,} events wait in it",
        "start its sidecar; if it is running, its log says why it takes none" if filling else "",
    )


def _check_size(queue: MessageQueue, owner: int) -> Iterator[Finding]:
    """Judge a queue's size by the limits of a process of its owner that has it open, such as its sidecar."""
    name, size = queue.name, queue.size
    if all(got >= wanted for got, wanted in zip(size, WANTED, strict=True)):
        return
    here = holders.read_namespace()
    users = [user for user in holders.find_holders(name) if user.uid == owner and user.namespace == here]
    known = {user: limit for user in users if (limit := holders.read_limit(user.pid)) is not None}
    if not known:
        yield Finding(Level.OK, f"{name}: {size}; no process of its owner shows the limits it was created with")
        return
    creator = max(known, key=lambda user: known[user])
    limits = kernel_limits.read_limits()._replace(hard_bytes=known[creator])
    better = _ANY.best_within(limits)
    if better and better > size and better.max_message_size >= size.max_message_size:
        yield Finding(
            Level.WARNING,
            f"{name}: {size}; the limits of {creator} would allow {better}",
            f"as root: eventpub queue resize {name} --max-messages {better.max_messages} --max-message-size "
            f"{better.max_message_size}",
        )
    else:
        yield Finding(
            Level.WARNING,
            f"{name}: {size}; the limits of {creator} allow no more",
            remedies.explain_size(limits, _ANY, got=size),
        )


def _check_users(name: str) -> Iterator[Finding]:
    """Tell which processes have this queue open, and which have another one of the same name."""
    here = holders.read_namespace()
    found = holders.find_holders(name)
    good = [str(holder) for holder in found if holder.namespace == here and not holder.removed]
    if good:
        yield Finding(Level.OK, f"{name}: open in {', '.join(good)}")
    for holder in found:
        if holder.namespace != here:
            yield Finding(
                Level.WARNING,
                f"{name}: {holder} has a queue of that name in another IPC namespace, {holder.namespace}",
                "let both share one: docker --ipc=container:NAME, kubernetes one pod, systemd PrivateIPC=no",
            )
        elif holder.removed:
            yield Finding(
                Level.WARNING,
                f"{name}: {holder} still has a removed queue of that name open",
                "eventpub switches with its next event; restart other programs",
            )


def _format_bytes(limit: int) -> str:
    return "unlimited" if limit == kernel_limits.UNLIMITED else f"{limit:,} bytes"
