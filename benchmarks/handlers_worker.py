"""Times event managers in one interpreter: run as `python -m benchmarks.handlers_worker SIDE EVENTS`.

SIDE is `eventpub` or `e3-core`. Prints a JSON object: the microseconds of sending an event that is there,
through the manager and straight to its handlers, and of making, closing, sending and reading one; and what the
two handlers got.
"""

from __future__ import annotations

import importlib
import json
import sys
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
DATA = {"project": "tea", "result": "passed", "size": 812, "ratio": 12.5}
OWN_KEYS = ("uid", "begin_time", "end_time")  # different in every event


def main(side: str, events: int) -> None:
    # one of the two is installed
    if side == "e3-core":
        e3 = importlib.import_module("e3.event")
        event_class, manager, base = e3.Event, e3.EventManager(), e3.EventHandler
    else:
        ours = importlib.import_module("eventpub.handlers")
        event_class, manager, base = (
            importlib.import_module("eventpub").Event,
            ours.EventManager(),
            ours.EventHandler,
        )

    class Last(base):  # type: ignore[misc, valid-type]
        """Keeps the last event."""

        event: Any = None

        def send_event(self, event: Any) -> bool:
            """Keep one event."""
            self.event = event
            return True

    handlers = {"first": Last(), "second": Last()}
    if side == "e3-core":
        manager.handlers.update(handlers)
    else:
        for name, handler in handlers.items():
            manager.register(name, handler)

    def whole(_: object) -> None:
        with event_class("build", **DATA) as event:
            event.host = "app-1"
        manager.send_event(event)
        event.as_dict()

    send_first, send_second = (handler.send_event for handler in handlers.values())

    def straight(event: object) -> bool:
        return send_first(event) and send_second(event)

    event = event_class("build", **DATA)
    us = {
        "floor": _us(straight, events, event),
        "send_event": _us(manager.send_event, events, event),
        "making, closing, sending and reading an event": _us(whole, events, None),
    }
    if manager.send_event(event) is not True:
        raise RuntimeError(f"{side} has not sent the event")
    sent = [handler.event.as_dict() for handler in handlers.values()]
    print(json.dumps({"us": us, "sent": [_comparable(document) for document in sent]}))


def _us(call: Callable[[Any], Any], calls: int, argument: object) -> float:
    """Return the microseconds of a call: the median of rounds of `calls`."""
    rounds_us = []
    for _ in range(ROUNDS):
        started = perf_counter_ns()
        for _ in range(calls):
            call(argument)
        rounds_us.append((perf_counter_ns() - started) / calls / 1000)
    return median(rounds_us)


def _comparable(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sorted(document.items()) if key not in OWN_KEYS}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
