"""What was lost since the last report, and the event that reports it to those downstream.

A report is an event of the sidecar's own, in a batch file of its own: it waits out an outage like any other,
and stands in the books as received (`reported` tells how many of those there were). It says `eventpub`,
`report`, `loss`; its measurements are the events lost by reason, under the names that statsd has, and the
times of the first and the last.

What a report tells is counted on until the report is delivered, so one that is lost itself is no loss: the
next one tells the same, and what has come to it. One report is on its way at a time. One that the collector
refuses becomes a dead letter of a reason of its own, of which no report tells: else each would be the cause
of the next. What a process has not reported when it ends waits in the spool as a last report; what one that
is killed had not reported stands in its log.
"""

from __future__ import annotations

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


class Losses:
    """Counts events that became dead letters or were dropped, until a report of them is delivered.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._told: Counter[str] | None = None  # by the report that is on its way
        self._first_ms = self._last_ms = 0

    def __len__(self) -> int:
        return self._counts.total()

    @property
    def is_on_its_way(self) -> bool:
        """Tell whether a report was written whose end is not known yet."""
        return self._told is not None

    def add(self, name: str, events: int) -> None:
        """Count lost events under the name of their metric."""
        self._last_ms = int(self._clock() * 1000)
        self._first_ms = self._first_ms if self._counts else self._last_ms
        self._counts[name] += events

    def write_report(self, version: str, queue_name: str) -> bytes:
        """Return the report, as a serialized event of this version of the wire; it is on its way now."""
        untold = self.untold_counts()
        self._told = self._counts.copy()
        fields: dict[str, Any] = {
            **_NAMES,
            "client_timestamp": int(self._clock() * 1000),
            "uuid": str(uuid.uuid4()),
            "properties": {"queue": queue_name, "host": socket.gethostname(), "pid": str(os.getpid())},
            "measurements": {
                **{name: float(events) for name, events in untold.items()},
                "first_loss_timestamp": float(self._first_ms),
                "last_loss_timestamp": float(self._last_ms),
            },
        }
        if version == "2j":
            return serialize_json_event(fields)
        from eventpub.schemas.event.ttypes import Event  # noqa: PLC0415, 2 MB that few sidecars need

        return serialize_v2_event(Event(**fields))

    def settle(self) -> None:
        """Forget what the report on its way tells: it is delivered, or a dead letter that shows it."""
        self._counts -= self._told or Counter()
        self._told = None
        self._first_ms = self._last_ms

    def withdraw(self) -> None:
        """Tell it again in the next report: the one on its way is lost."""
        self._told = None

    def untold_counts(self) -> dict[str, int]:
        """Return how many events no report tells of, by the name of their metric."""
        return dict(self._counts - (self._told or Counter()))

    @property
    def untold(self) -> int:
        """Return how many events no report tells of."""
        return self._counts.total() - (self._told.total() if self._told else 0)
