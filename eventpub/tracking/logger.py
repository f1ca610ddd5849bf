"""A backend that writes each event as one line of JSON to a logger."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from eventpub.serialization.serialize import serialize_event
from eventpub.serialization.substitutes import substitute
from eventpub.wire import MAX_EVENT_SIZE

from .errors import LogLineTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable


class LoggerBackend:
    """Logs each event as one line of JSON, which is the whole message.

    Args:
        name: of the logger; by default the root logger.
        level: that it logs at, by name or number; "info" by default.
        max_event_size: bytes of the longest event it logs, None for any; 102,400 by default, as a queue takes.
        serialize: makes one event's bytes; by default what `EventQueue` would put on a queue. For lines as
            event-tracking writes them, `serialize_log_line`.

    Raises:
        ValueError: there is no such level.
    """

    only_reads = True

    def __init__(
        self,
        *,
        name: str | None = None,
        level: str | int = "info",
        max_event_size: int | None = MAX_EVENT_SIZE,
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
        if self.max_event_size is not None and len(line) > self.max_event_size:
            raise LogLineTooLongError(len(line), self.max_event_size)
        self.logger.log(self.level, line.decode())


class DateTimeJSONEncoder(json.JSONEncoder):
    """Writes datetimes as ISO 8601 in UTC, naive ones as if they were, and else what queues write."""

    def default(self, o: Any) -> Any:
        """Return what is written for a value that JSON does not have."""
        if isinstance(o, datetime):
            return (o.astimezone(timezone.utc) if o.tzinfo else o.replace(tzinfo=timezone.utc)).isoformat()
        return substitute(o)


def serialize_log_line(event: Any) -> bytes:
    """Return an event as event-tracking logs it: ASCII, a blank after colons and commas, datetimes in UTC."""
    return json.dumps(event, cls=DateTimeJSONEncoder).encode()


def _level_number(level: str | int) -> int:
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise ValueError(f"level = {level!r}: there is no such level; take one of logging's, such as 'info'")  # noqa: TRY004
    return number
