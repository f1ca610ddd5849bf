"""Lines of a log -> events: a handler for `logging`, and a processor for structlog.

    logging.getLogger("shop").addHandler(EventLoggingHandler(tracker, level="WARNING"))
    logging.getLogger("shop").info("paid", extra={"event": "shop.order.paid", "order": 7})

    structlog.configure(processors=[..., EventLogProcessor(tracker), structlog.processors.JSONRenderer()])
    structlog.get_logger().info("shop.order.paid", order=7)

Both are guarded. What is logged while an event is emitted, and everything that eventpub logs itself, makes no
event, so a full queue fills no further. Nothing that goes wrong reaches the code that logs; `dropped` counts
it. A value that cannot be written is replaced by a marker, in tests too.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from eventpub.serialization.unwritable import strict_values
from eventpub.tracking import get_tracker

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from eventpub.tracking import Tracker

_EVENT_NAME = re.compile(r"\w[\w-]*(\.\w[\w-]*)+")
_OURS = "eventpub"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event"}

_is_emitting: ContextVar[bool] = ContextVar("eventpub emits a line of a log", default=False)


class _Emitter:
    """Emits events for lines of a log, if that does not lead back here."""

    def __init__(self, tracker: Tracker | None) -> None:
        self._tracker = tracker
        self.dropped = 0

    def emit_line(self, logger: str, name: str, data: Mapping[str, Any]) -> None:
        if _is_emitting.get() or logger.partition(".")[0] == _OURS:
            self.dropped += 1
            return
        token = _is_emitting.set(True)
        try:
            with strict_values(strict=False):
                (self._tracker or get_tracker()).emit(name, data)
        except Exception:  # noqa: BLE001, such as no tracker yet; a line of a log fails nobody
            self.dropped += 1
        finally:
            _is_emitting.reset(token)


class EventLoggingHandler(logging.Handler):
    """Makes an event of each record.

    Its name is that of the record's `extra={"event": NAME}`, else `log.LEVEL`, such as `log.warning`. Its data
    are `logger`, `level`, `message`, the type of an exception as `error`, and everything else in `extra`.

    Args:
        tracker: emits them; by default the one that is registered as the default tracker.
        level: of the records, by name or number; all by default.
    """

    def __init__(self, tracker: Tracker | None = None, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._emitter = _Emitter(tracker)

    @property
    def dropped(self) -> int:
        """How many records made no event."""
        return self._emitter.dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Emit the event of a record."""
        name = getattr(record, "event", None) or f"log.{record.levelname.lower()}"
        data = {"logger": record.name, "level": record.levelname.lower(), "message": _read_message(record)}
        if record.exc_info and record.exc_info[0]:
            data["error"] = record.exc_info[0].__name__
        more = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        self._emitter.emit_line(record.name, name, {**data, **more})


class EventLogProcessor:
    """Makes an event of each line that structlog logs, and lets the line go on as it is.

    The event is called what the line says, if that is a name such as `shop.order.paid`, else `log.METHOD`, with
    what it says as `message`. Its data are the line's, without what stands for an exception's traceback.

    Args:
        tracker: emits them; by default the one that is registered as the default tracker.
    """

    def __init__(self, tracker: Tracker | None = None) -> None:
        self._emitter = _Emitter(tracker)

    @property
    def dropped(self) -> int:
        """How many lines made no event."""
        return self._emitter.dropped

    def __call__(
        self, _logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Emit the event of a line, and return the line."""
        data = {
            key: value for key, value in event_dict.items() if key not in {"exc_info", "stack_info", "_record"}
        }
        said = data.pop("event", None)
        name = f"log.{method_name}"
        if isinstance(said, str) and _EVENT_NAME.fullmatch(said):
            name = said
        else:
            data["message"] = said
        self._emitter.emit_line(str(data.get("logger", "")), name, data)
        return event_dict


def _read_message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001, arguments that do not fit: `logging` only prints that
        return str(record.msg)
