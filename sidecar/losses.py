"""What was lost since the last report, and the event that reports it to those downstream.

A report is an event of the sidecar's own, put on its own queue: from there on it is received, spooled and
delivered like any other, waits out an outage, and stands in the books as received (`reported` tells how many
of those there were). It says `eventpub`, `report`, `loss`; its measurements are the events lost by reason,
under the names that statsd has, and the times of the first and the last.

A report that the collector does not take becomes a dead letter of a reason of its own, of which no report
tells: else each would be the cause of the next. What is lost after the last report of a process stands in its
log.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from eventpub.serialize import serialize_json_event, serialize_v2_event

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_REASON = "report"  # of a dead letter that is a report
_NAMES = {"source": "eventpub", "action": "report", "noun": "loss"}
_BEGINNINGS = (
    serialize_json_event(_NAMES)[:-1],
    b'{"1":{"str":"eventpub"},"2":{"str":"report"},"3":{"str":"loss"}',
)


class Losses:
    """Counts events that became dead letters or were dropped, until they are reported.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._first_ms = self._last_ms = 0

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, name: str, events: int) -> None:
        """Count lost events under the name of their metric."""
        self._last_ms = int(self._clock() * 1000)
        self._first_ms = self._first_ms if self._counts else self._last_ms
        self._counts[name] += events

    def event(self, version: str, queue_name: str) -> bytes:
        """Return the report, as a serialized event of this version of the wire."""
        fields: dict[str, Any] = {
            **_NAMES,
            "client_timestamp": int(self._clock() * 1000),
            "uuid": str(uuid.uuid4()),
            "properties": {"queue": queue_name, "host": socket.gethostname(), "pid": str(os.getpid())},
            "measurements": {
                **{name: float(events) for name, events in self._counts.items()},
                "first_loss_timestamp": float(self._first_ms),
                "last_loss_timestamp": float(self._last_ms),
            },
        }
        if version == "2j":
            return serialize_json_event(fields)
        from eventpub.schemas.event.ttypes import Event  # noqa: PLC0415, 2 MB that few sidecars need

        return serialize_v2_event(Event(**fields))

    def clear(self) -> None:
        """Begin anew: what was counted has been reported."""
        self._counts.clear()


def is_report(event: bytes) -> bool:
    """Tell whether a serialized event is a loss report."""
    return event.startswith(_BEGINNINGS)
