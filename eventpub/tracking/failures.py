"""What trackers and routers swallow so that it fails nobody: counted by kind, told to a metric, and logged.

The log names types and places, never a value: what an event or an error holds may be secret.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from eventpub.errors import describe_error, find_traceback
from eventpub.pipeline import name_for_log

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__.rpartition(".")[0])

_MOST_CHARACTERS = 200  # of a name

_is_logging: ContextVar[bool] = ContextVar("eventpub logs a failure", default=False)


class Failures(Counter[str]):
    """How often what has failed, by kind: "backend NAME", "processor NAME", "context NAME", and so on.

    Attributes:
        metric: called with the kind of each failure, such as `lambda kind: statsd.incr("events.failed")`;
            whatever it raises is left alone. None by default.
    """

    metric: Callable[[str], object] | None = None

    def note(self, kind: str) -> None:
        """Count a failure, and tell the metric."""
        self.setdefault(kind, 0)  # so that the next line is one step for all threads
        self[kind] += 1
        if self.metric is not None:
            with suppress(Exception):
                self.metric(kind)

    def swallow(self, kind: str, template: str, subject: str, event: Any, error: Exception) -> None:
        """Count what was raised and log it; only count it where a handler of that log has emitted.

        Args:
            kind: of the failure.
            template: of the log line, for the subject, the event's name and the error.
            subject: what failed.
            event: the event it failed on.
            error: what was raised.
        """
        self.note(kind)
        if _is_logging.get():
            return
        token = _is_logging.set(True)
        try:
            name = name_for_log(event)[:_MOST_CHARACTERS]
            logger.error(template, subject, name, describe_error(error), exc_info=find_traceback(error))
        except Exception:  # noqa: BLE001, third-party code
            self.note("log")
        finally:
            _is_logging.reset(token)
