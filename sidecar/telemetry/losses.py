"""What was lost since the last report, and the event that reports it to those downstream.

A report is an event of the sidecar's own, put on its own queue: from there on it is received, spooled and
delivered like any other, waits out an outage, and stands in the books as received (`reported` tells how many
of those there were). It says `eventpub`, `report`, `loss`; its measurements are the events lost by reason,
under the names that statsd has, and the times of the first and the last.

A report is none of the application's events, and its own loss no loss of them. One that the collector does not
take becomes a dead letter of a reason of its own, of which no report tells: else each would be the cause of the
next. One that is dropped, because the spool is full, say, gives back what it told: the next one tells it, with
what has come to it since. What a process has not reported when it ends waits in the spool as a last report;
what one that is killed had not reported stands in its log.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from eventpub.serialization.serialize import serialize_json_event, serialize_v2_event

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = {"source": "eventpub", "action": "report", "noun": "loss"}
BEGINNINGS = (
    serialize_json_event(_NAMES)[:-1],
    b'{"1":{"str":"eventpub"},"2":{"str":"report"},"3":{"str":"loss"}',
)
_MOST = 2.0**53  # the numbers of JSON are exact up to it
_FIRST, _LAST = "first_loss_timestamp", "last_loss_timestamp"  # among the measurements


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
                _FIRST: float(self._first_ms),
                _LAST: float(self._last_ms),
            },
        }
        if version == "2j":
            return serialize_json_event(fields)
        from eventpub.schemas.event.ttypes import Event  # noqa: PLC0415, 2 MB that few sidecars need

        return serialize_v2_event(Event(**fields))

    def put_back(self, report: bytes) -> None:
        """Count again what a report tells that nobody will get."""
        measurements = _measurements(report)
        first_ms, last_ms = (int(measurements.pop(name, 0)) for name in (_FIRST, _LAST))
        self._first_ms = min(first_ms, self._first_ms) if self._counts else first_ms
        self._last_ms = max(last_ms, self._last_ms)
        self._counts.update({name: int(events) for name, events in measurements.items()})

    def clear(self) -> None:
        """Begin anew: what was counted has been reported."""
        self._counts.clear()


def is_report(event: bytes) -> bool:
    """Tell whether a serialized event is a loss report."""
    return event.startswith(BEGINNINGS)


def _measurements(report: bytes) -> dict[str, float]:
    """Return what a report tells; nothing where somebody else made up what looks like one."""
    try:
        fields = json.loads(report)
        found = fields["51"]["map"][3] if "51" in fields else fields["measurements"]
        return {str(name): min(float(value), _MOST) for name, value in found.items() if value > 0}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
