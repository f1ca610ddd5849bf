"""Why a queue is smaller than wanted, and the commands that would allow all of it. Pure: texts and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kernel_limits import CEILING, SizeRange, need_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from .kernel_limits import KernelLimits, QueueSize

ROOM_FOR = 8  # queues of the size that is wanted: what RLIMIT_MSGQUEUE should be, since all of a user share it


def explain_size(
    limits: KernelLimits,
    sizes: SizeRange,
    *,
    got: QueueSize | None = None,
    describe_holders: Callable[[], str] = str,
) -> str:
    """Say what was wanted, what the kernel gave instead, why, and the commands that would allow all of it.

    Args:
        limits: what the kernel allows.
        sizes: what was wanted.
        got: the size the kernel gave; None if it gave none.
        describe_holders: says in words which queues hold the rest of RLIMIT_MSGQUEUE; called if it matters.
    """
    if refusal := explain_impossible(sizes):
        return refusal
    wanted = sizes.wanted
    outcome = f"got {got} instead of {wanted}" if got else f"the kernel refuses {wanted}"
    reasons = [
        f"{name} is {value:,} and {needed:,} is needed"
        for name, value, needed in (
            ("fs.mqueue.msg_max", limits.msg_max, wanted.max_messages),
            ("fs.mqueue.msgsize_max", limits.msgsize_max, wanted.max_message_size),
            ("RLIMIT_MSGQUEUE", limits.hard_bytes, need_bytes(wanted)),
        )
        if value < needed
    ]
    limit = f"RLIMIT_MSGQUEUE, which is {limits.hard_bytes:,}"
    best = sizes.best_within(limits)
    if got == best and not reasons:
        reasons.append(f"a queue whose size is not given takes at most a quarter of {limit}")
    elif best and got != best and best.max_messages <= limits.msg_max and best[1] <= limits.msgsize_max:
        holders = describe_holders()
        held = f" ({holders})" if holders else ""
        reasons.append(f"other queues of this user hold too much of {limit}{held}")
    commands = "\n".join(
        f"  {where + ':':13} {command}" for where, command in list_remedies(sizes, limits).items()
    )
    then = "Allow it, then resize the queue (`eventpub queue resize`) or create it again"
    return f"{outcome}: {'; '.join(reasons)}. {then}:\n{commands}"


def list_remedies(sizes: SizeRange, limits: KernelLimits) -> dict[str, str]:
    """Return the commands that would allow the wanted size, keyed by where they belong.

    They change only what is too low. RLIMIT_MSGQUEUE is raised as well where nothing is: then other queues of
    the user have taken it.
    """
    wanted = sizes.wanted
    too_low = {}
    if limits.msg_max < wanted.max_messages:
        too_low["fs.mqueue.msg_max"] = wanted.max_messages
    if limits.msgsize_max < wanted.max_message_size:
        too_low["fs.mqueue.msgsize_max"] = wanted.max_message_size
    need = need_bytes(wanted)
    least_bytes = need if sizes.is_given else ROOM_FOR * need // 2
    commands = {}
    docker = [f"--sysctl {name}={value}" for name, value in too_low.items()]
    if too_low:
        commands["now"] = "sysctl -w " + " ".join(f"{name}={value}" for name, value in too_low.items())
        lines = "".join(rf"{name} = {value}\n" for name, value in too_low.items())
        commands["at each boot"] = f"printf '{lines}' > /etc/sysctl.d/60-eventpub.conf"
    if limits.hard_bytes < least_bytes or not too_low:
        enough = need if sizes.is_given else ROOM_FOR * need
        if limits.hard_bytes >= enough:
            enough += limits.hard_bytes
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


def explain_impossible(sizes: SizeRange) -> str | None:
    """Say why no kernel allows a queue of that size; None if some may."""
    if sizes.is_possible:
        return None
    return f"a queue of {sizes.wanted} is impossible; use at least 1 of 1 byte and at most {CEILING}"
