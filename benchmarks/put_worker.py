"""Times `put` in one interpreter: run as `python -m benchmarks.put_worker SIDE QUEUE BATCHES`, by `put`.

SIDE is `eventpub`, `baseplate` or `floor`, which is the bare system call. Prints a JSON object: for each
kind of event the median microseconds of a put, and its serialized form.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import posix_ipc

from eventpub.schemas.event.ttypes import Event, Request, Session, User
from eventpub.wire import QUEUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

PUTS = 8  # between two drains of a queue that holds ten, so that none is refused


def five_fields() -> Event:
    return Event(
        source="shop",
        action="view",
        noun="product",
        client_timestamp=1_763_690_000_123,
        uuid="0b5d3c5e-8f63-4c0a-9d0e-5b9a7c1d2e3f",
    )


def fifteen_fields() -> Event:
    event = five_fields()
    event.user = User(id="u_8c1f", is_logged_in=True, plan="team", created_timestamp=1_500_000_000_000)
    event.request = Request(id="7f3a2b", path="/cart/checkout", status_code=201, duration_ms=12.5)
    event.session = Session(id="s_2b7e", event_number=17)
    return event


EVENTS = {"5-field event": five_fields, "nested 15-field event": fifteen_fields}


def opened(side: str, queue_name: str) -> tuple[Callable[[Any], None], Callable[[Any], bytes]]:
    """Return what puts an event, and what turns an event into what is put."""
    if side == "baseplate":
        # one of the two is installed
        from baseplate.lib.events import (  # type: ignore[import-not-found]  # noqa: PLC0415
            EventQueue,
            serialize_v2_event,
        )

        return EventQueue(queue_name, serialize_v2_event).put, serialize_v2_event
    from eventpub import EventQueue, serialize_v2_event  # noqa: PLC0415

    if side == "eventpub":
        return EventQueue(queue_name, serialize_v2_event).put, serialize_v2_event
    queue = posix_ipc.MessageQueue(QUEUE_PREFIX + queue_name)
    queue.block = False
    return queue.send, serialize_v2_event


def main(side: str, queue_name: str, batches: int) -> None:
    put, serialize = opened(side, queue_name)
    reader = posix_ipc.MessageQueue(QUEUE_PREFIX + queue_name)
    results = {}
    for kind, make in EVENTS.items():
        serialized = serialize(make())
        events = [serialized if side == "floor" else make() for _ in range(PUTS)]
        times_us = []
        for _ in range(batches):
            started = perf_counter_ns()
            for event in events:
                put(event)
            times_us.append((perf_counter_ns() - started) / PUTS / 1000)
            received = [reader.receive()[0] for _ in range(PUTS)]
        if set(received) != {serialized}:
            raise RuntimeError(f"{side} put {serialized!r}, and {received!r} came out")
        results[kind] = {"us": median(times_us), "serialized": serialized.decode()}
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
