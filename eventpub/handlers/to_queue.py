"""`queue`: each event goes on a POSIX queue, for a sidecar to deliver; attachments stay where they are."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, Literal

from eventpub.queue.event_queue import EventQueue
from eventpub.settings import ini
from eventpub.wire import VERSIONS

from .by_version import serialize_as
from .configured import ConfiguredHandler


@dataclass(frozen=True)
class QueueHandler(ConfiguredHandler):
    """Puts events on an `EventQueue`, which is opened for the first of them.

    Args:
        name: the queue.
        version: "2" for Thrift events (others are converted by `to_v2_event`), or "2j" for JSON; must equal the
            sidecar's `collector.version`.
        timeout_seconds: how long to wait for room, 0 by default.
    """

    name: str = ini.setting("name", ini.queue_name())
    _: KW_ONLY
    version: Literal["2", "2j"] = ini.setting("version", ini.choice(*VERSIONS), default="2")
    timeout_seconds: float = ini.setting("timeout_seconds", ini.seconds(0, 86_400), default=0.0)

    def send_event(self, event: Any) -> bool:
        """Put an event; raises what `EventQueue.put` raises."""
        self._queue.put(event, self.timeout_seconds)
        return True

    def __del__(self) -> None:
        if "_queue" in vars(self):  # nobody else has it to close
            self._queue.close()

    @cached_property
    def _queue(self) -> EventQueue[Any]:
        return EventQueue(self.name, lambda event: serialize_as(self.version, event))
