"""A backend that writes each event as one line of JSON to a logger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from eventpub.serialization.serialize import serialize_event
from eventpub.wire import MAX_EVENT_SIZE

from .errors import LogLineTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable


class LoggerBackend:
    """Logs each event as one line of JSON, which is the whole message.

    Args:
        name: of the logger; by default the root logger.
        level: that it logs at, by name or number; "info" by default.
        max_event_size: bytes of the longest event it logs; 102,400 by default, which is what a queue takes.
        serialize: makes one event's bytes; by default what `EventQueue` would put on a queue.

    Raises:
        ValueError: there is no such level.
    """

    only_reads = True

    def __init__(
        self,
        *,
        name: str | None = None,
        level: str | int = "info",
        max_event_size: int = MAX_EVENT_SIZE,
        serialize: Callable[[Any], bytes] = serialize_event,
    ) -> None:
        self.logger = logging.getLogger(name)
        self.level = _level_number(level)
        self.max_event_size = max_event_size
        self._serialize = serialize

    def send(self, event: Any, /) -> None:
        """Log one event.

        Raises:
            EventSerializationError: it cannot be written.
            LogLineTooLongError: its line would be longer than `max_event_size`.
        """
        if not self.logger.isEnabledFor(self.level):
            return
        line = self._serialize(event)
        if len(line) > self.max_event_size:
            raise LogLineTooLongError(len(line), self.max_event_size)
        self.logger.log(self.level, line.decode())


def _level_number(level: str | int) -> int:
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise ValueError(f"level = {level!r}: there is no such level; take one of logging's, such as 'info'")  # noqa: TRY004
    return number
