"""Body -> rows, or the refusal of all of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from eventpub import wire
from eventpub.collector.responses import RefusedError, refuse
from eventpub.collector.store import EventRow
from eventpub.serialization.thrift_json_decode import load_json

from .containers import hint_at_version, open_container
from .objects import ObjectForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .form import Form, Limits
    from .schemas import Schemas

MAX_REJECTED_SHOWN = 100  # the rest is counted only, so that the answer stays small


class Events(NamedTuple):
    """The events of a body.

    Attributes:
        rows: one each, in their order.
        unknown: how often there was a field that the schema does not know, by its id.
    """

    rows: Sequence[EventRow]
    unknown: Counter[str]


class EventReader:
    """Reads bodies.

    Args:
        schemas: the forms of version 2 events.
        limits: what each event must keep to.
        max_events: how many may be in one body.
    """

    def __init__(self, schemas: Schemas, limits: Limits, max_events: int) -> None:
        self._schemas = schemas
        self._limits = limits
        self._max_events = max_events
        self._objects = ObjectForm()

    def read(self, key_name: str, version: str, body: bytes, announced: str) -> Events:
        """Return the rows of all events in a body.

        Args:
            key_name: the key that signed it.
            version: one of `wire.VERSIONS`.
            body: plain.
            announced: how many events the sender says it put in, as text; empty if it does not say.

        Raises:
            RefusedError: the body is refused; nothing of it may be stored.
        """
        form: Form = self._objects if version == "2j" else self._schemas.find(key_name)
        unknown: Counter[str] = Counter()
        try:
            container = open_container(version, body)
            self._check_possible(container.array)
            reading = form.read(container.array, self._limits, unknown)
            if container.announced not in (None, reading.number):
                wire.unwrap(version, {"1": {"lst": ["rec", container.announced, *range(reading.number)]}})
            self._check_number(reading.number)
            self._check_announced(reading.number, announced)
            rows = self._take_valid(list(reading.events))
        except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too many digits, nested too deeply
            hint = hint_at_version(version, body)
            raise RefusedError(refuse(400, "bad_body", f"the body cannot be read: {error}{hint}")) from error
        return Events(rows, unknown)

    def _check_possible(self, array: bytes) -> None:
        """Refuse too many events before each gets a text of its own: 8 MiB have room for four million."""
        if array.count(b",") >= self._max_events:
            documents = load_json(array)
            self._check_number(len(documents) if isinstance(documents, list) else 0)

    def _check_number(self, count: int) -> None:
        if count > self._max_events:
            reason = f"the body holds {count:,} events, more than {self._max_events:,}; send fewer at once"
            raise RefusedError(refuse(413, "too_many_events", reason, limit_events=self._max_events))

    def _check_announced(self, count: int, announced: str) -> None:
        if announced not in ("", str(count)):
            reason = (
                f"{wire.COUNT_HEADER} says {announced[:20]} and the body holds {count} events: "
                "one of them is more than one, or less; smaller batches will tell which"
            )
            raise RefusedError(refuse(422, "event_count_differs", reason))

    def _take_valid(self, events: Sequence[EventRow | str]) -> Sequence[EventRow]:
        rows = [event for event in events if isinstance(event, EventRow)]
        if len(rows) == len(events):
            return rows
        rejected = [
            {"index": index, "reason": event} for index, event in enumerate(events) if isinstance(event, str)
        ]
        refusal = refuse(
            422,
            "invalid_events",
            f"{len(rejected)} of {len(events)} events are not valid, so nothing of the batch was stored",
            rejected=rejected[:MAX_REJECTED_SHOWN],
            rejected_count=len(rejected),
        )
        raise RefusedError(refusal)
