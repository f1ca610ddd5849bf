"""Times `Processor.process` in one interpreter: run as `python -m benchmarks.processing_worker SIDE EVENTS`.

SIDE is `eventpub` or `evproc`. Prints a JSON object: for each kind of event the microseconds it takes, and the
handlers that were called for it.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from time import perf_counter_ns
from typing import Any

ROUNDS = 15
KINDS = {
    "an event for 5 of 10 handlers": ("seen", 0),
    "an event for 7 of 10 handlers, 3 filters refuse": ("sold", 1),
    "an event for all 10 handlers, one returns another": ("sold", 99),
}


def main(side: str, events: int) -> None:
    # one of the two is installed
    if side == "evproc":
        import evproc as library  # type: ignore[import-not-found]  # noqa: PLC0415
    else:
        import eventpub.processing as library  # noqa: PLC0415
    calls: list[str] = []
    processor = library.Processor()
    event_class = define_event(library.Event)
    for name, handler in reversed(define_handlers(library, event_class, calls)):
        processor.register(handler, name)
    results = {}
    for kind, (name, amount) in KINDS.items():
        prepared = [event_class(name, amount) for _ in range(events)]
        rounds_us = []
        for _ in range(ROUNDS):
            calls.clear()
            started = perf_counter_ns()
            for event in prepared:
                processor.process(event)
            rounds_us.append((perf_counter_ns() - started) / events / 1000)
        once = calls[: len(calls) // events]
        if calls != once * events:
            raise RuntimeError(f"{side} does not call the same handlers each time")
        results[kind] = {"us": median(rounds_us), "calls": once}
    print(json.dumps(results))


def define_event(base: Any) -> Any:
    """Return an application's class of events."""

    class Order(base):  # type: ignore[misc]
        def __init__(self, name: str, amount: int) -> None:
            super().__init__()
            self._name = name
            self.amount = amount

        @property
        def name(self) -> str:
            return self._name

    return Order


def define_handlers(library: Any, event_class: Any, calls: list[str]) -> list[tuple[str, Any]]:
    """Return ten handlers, each of which requires the one before it, so that there is but one order."""

    def is_large(event: Any) -> bool:
        return bool(event.amount > 10)

    wants = [None] * 2 + [("sold", "seen")] * 3 + [("sold",)] * 2 + [("sold", is_large)] * 3
    handlers = [(f"handler {number}", _handler(f"handler {number}", calls)) for number in range(9)]

    def last(_processor: Any, event: Any) -> list[Any]:
        calls.append("handler 9")
        return [event_class("checked", event.amount)]

    handlers.append(("handler 9", last))
    for number, (_, handler) in enumerate(handlers):
        if wants[number]:
            library.want(*wants[number])(handler)
        if number % 2:
            library.requires(f"handler {number - 1}")(handler)
        elif number:
            library.required_by(f"handler {number}")(handlers[number - 1][1])
    return handlers


def _handler(name: str, calls: list[str]) -> Any:
    def handler(_processor: Any, _event: Any) -> None:
        calls.append(name)

    return handler


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
