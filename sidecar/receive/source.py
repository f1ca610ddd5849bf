"""The queue that messages come from, as the settings want it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from eventpub.errors import QueueError, QueuePermissionError
from eventpub.queue.kernel_limits import QueueSize
from eventpub.queue.message_queue import MessageQueue
from eventpub.queue.replacement import replace_queue

if TYPE_CHECKING:
    from eventpub.sidecar.config import SidecarConfig

logger = logging.getLogger(__name__)


class Source:
    """Opens the queue of one sidecar.

    Args:
        config: the queue's size, mode and group.
        name: its name.
    """

    def __init__(self, config: SidecarConfig, name: str) -> None:
        self.name = name
        self._config = config
        self._refused_size: QueueSize | None = None

    def open(self, *, or_less: bool = True) -> MessageQueue:
        """Open the queue as its receiving end, making it with the configured size, mode and group.

        Args:
            or_less: take a smaller one where other queues of this user keep it from being as large.

        Raises:
            QueueError: it cannot be opened.
        """
        try:
            queue = self._open(or_less=or_less, write=True)
        except QueuePermissionError:
            queue = self._open(or_less=or_less, write=False)
        wanted = QueueSize(
            self._config.max_queue_size_events or queue.max_messages,
            self._config.max_message_size_bytes or queue.max_message_size,
        )
        self._refused_size = wanted if queue.created and queue.size != wanted else None
        return queue

    def enlarge(self) -> None:
        """Give a queue that had to be smaller its configured size, if the kernel allows it by now."""
        if self._refused_size is None:
            return
        try:
            with replace_queue(self.name, self._refused_size) as replacement:
                logger.warning(
                    "queue has the configured size now: %s queue=%s", replacement.new.size, self.name
                )
        except QueueError:
            return
        self._refused_size = None

    def _open(self, *, or_less: bool, write: bool) -> MessageQueue:
        return MessageQueue.open(
            self.name,
            max_messages=self._config.max_queue_size_events,
            max_message_size=self._config.max_message_size_bytes,
            mode=self._config.queue_mode,
            group=self._config.queue_group,
            write=write,
            or_less=or_less,
        )
