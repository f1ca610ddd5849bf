"""Reads a stream of NATS JetStream from its beginning."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

import nats
import nats.errors

from eventpub.collector.errors import StoreReadError
from eventpub.collector.store import EventRow
from eventpub.collector.store.nats_options import connect_options

from .reader import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from eventpub.collector.store.address import StoreAddress

    from .reader import Condition

_PATIENCE_SECONDS = 10.0
_FETCHED = 500
_KEPT = 100_000  # events, where the newest are wanted first


class JetStreamReader:
    """A `Reader` of a stream; columns come from the event, and `received_at` from the server's clock."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._client = self._run(nats.connect(**connect_options(address), allow_reconnect=False))

    def find(
        self, conditions: Sequence[Condition] = (), *, since: float = 0.0, newest_first: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Yield what `Reader.find` says; of the newest no more than can be kept: the stream is read once."""
        found = self._read(conditions, since)
        yield from reversed(deque(found, maxlen=_KEPT)) if newest_first else found

    def _read(self, conditions: Sequence[Condition], since: float) -> Iterator[tuple[Any, ...]]:
        stream = self._address.name
        last = self._state()["last_seq"]
        subscription = self._run(self._client.jetstream().pull_subscribe(f"{stream}.>", stream=stream))
        sequence = 0
        while sequence < last:
            for message in self._run(subscription.fetch(_FETCHED, timeout=_PATIENCE_SECONDS)):
                sequence = message.metadata.sequence.stream
                headers = message.headers or {}
                if "Eventpub-Index" not in headers:  # a manifest
                    continue
                row = _make_row(message.metadata.timestamp.timestamp(), headers, message.data.decode())
                if row[0] >= since and all(_meets(row, condition) for condition in conditions):
                    yield row

    def count(self, *, since: float = 0.0) -> int:
        """Return how many messages there are, manifests included, whenever they were received."""
        del since
        return int(self._state()["messages"])

    def trim(self, before: float) -> int:
        """Refuse: a stream forgets by its `max_age`."""
        del before
        reason = "a stream forgets by its max_age: nats stream edit --max-age=90d"
        raise StoreReadError(str(self._address), reason)

    def close(self) -> None:
        """Close the connection."""
        self._run(self._client.close())
        self._loop.close()

    def _state(self) -> dict[str, Any]:
        subject = f"$JS.API.STREAM.INFO.{self._address.name}"
        info = json.loads(self._run(self._client.request(subject, b"", timeout=_PATIENCE_SECONDS)).data)
        if "error" in info:
            raise StoreReadError(str(self._address), info["error"]["description"])
        state: dict[str, Any] = info["state"]
        return state

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(coroutine, 2 * _PATIENCE_SECONDS))
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise StoreReadError(str(self._address), str(error) or type(error).__name__) from error


def _make_row(received_at: float, headers: dict[str, str], text: str) -> tuple[Any, ...]:
    event = json.loads(text)
    user = event.get("user")
    fields = {name: event.get(name) for name in EventRow._fields}
    fields |= {"event": text, "user_id": user.get("id") if isinstance(user, dict) else event.get("user_id")}
    origin = (
        received_at,
        headers["Eventpub-Key"],
        headers["Eventpub-Batch"],
        headers.get("Eventpub-Version", ""),
    )
    return (*origin, *fields.values())


def _meets(row: tuple[Any, ...], condition: Condition) -> bool:
    if condition.column:
        return str(row[COLUMNS.index(condition.column)]) == condition.value
    return condition.holds_in(row[-1])
