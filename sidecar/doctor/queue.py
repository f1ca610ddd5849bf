"""Whether the queue is as the configuration wants it, and the sidecar may take events from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eventpub.cli.findings import Finding, Level
from eventpub.errors import QueueError, QueueMissingError, QueuePermissionError
from eventpub.queue.access import Wish
from eventpub.queue.message_queue import MessageQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.sidecar.config import SidecarConfig


def check_queue(config: SidecarConfig, name: str) -> Iterator[Finding]:
    """Compare the queue with what the configuration says; one that is not there yet is made for a moment."""
    try:
        with MessageQueue.open(name, write=False, create=False) as queue:
            yield _compare_queue(queue, config)
    except QueueMissingError:
        if misfit := find_misfit(config, name):
            yield Finding(Level.FAILING, f"{name}: {misfit}")
        else:
            yield Finding(Level.OK, f"{name}: the sidecar can create the queue as configured")
    except QueuePermissionError as error:
        yield Finding(Level.FAILING, f"{name}: this user may not take events from the queue", error.reason)
    except QueueError:
        return  # the checks of all queues have told


def find_misfit(config: SidecarConfig, name: str) -> str | None:
    """Return why this kernel would refuse a queue of the configured size, or None; leaves nothing behind."""
    messages, size_bytes = config.max_queue_size_events, config.max_message_size_bytes
    if messages is None and size_bytes is None:
        return None
    scratch = f"{name[:150]}-check-{os.getpid()}"
    try:
        MessageQueue.open(name, read=False, create=False).close()  # an existing queue stays as it is
    except QueueMissingError:
        try:
            with MessageQueue.open(
                scratch, max_messages=messages or 1, max_message_size=size_bytes or 128
            ) as queue:
                queue.unlink()
        except QueueError as error:
            return f"the queue cannot be created: {error.reason}"
    except QueueError as error:
        return str(error)
    return None


def _compare_queue(queue: MessageQueue, config: SidecarConfig) -> Finding:
    messages, size_bytes = config.max_queue_size_events, config.max_message_size_bytes
    wish = Wish(messages, size_bytes, config.queue_mode, config.queue_group)
    differences = wish.differences(queue.size, queue.status())
    if not differences:
        unset = {"max_queue_size": messages, "max_message_size": size_bytes}
        if left := " and ".join(key for key, value in unset.items() if value is None):
            left = f", which leaves {left} to the limits of what creates it"
        return Finding(Level.OK, f"{queue.name}: the queue is as configured{left}")
    remedy = f"to have it created as configured, by the sidecar: eventpub queue drop {queue.name}"
    if not wish._replace(max_messages=None, max_message_size=None).differences(queue.size, queue.status()):
        new = queue.size
        remedy = (
            f"as root: eventpub queue resize {queue.name} --max-messages {messages or new.max_messages} "
            f"--max-message-size {size_bytes or new.max_message_size}"
        )
    return Finding(Level.WARNING, f"{queue.name}: differs from the configuration: {differences}", remedy)
