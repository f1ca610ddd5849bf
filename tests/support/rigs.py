"""A queue, sidecars and a collector: what tests of whole processes put, wait for and check."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from eventpub.queue.message_queue import MessageQueue
from support.collector_process import CollectorProcess
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

Run = Callable[..., SidecarProcess]

EVENT = b'{"name":"test","n":%d}'


@contextlib.contextmanager
def killed_at_the_end(make: Run) -> Iterator[Run]:
    """Give out `make`; kill what it made."""
    started: list[SidecarProcess] = []

    def start(*arguments: Any, **keys: Any) -> SidecarProcess:
        started.append(make(*arguments, **keys))
        return started[-1]

    try:
        yield start
    finally:
        for sidecar in started:
            sidecar.kill()


def put(queue: MessageQueue, messages: Iterable[bytes]) -> int:
    """Put messages, each as soon as there is room; return how many."""
    count = 0
    for message in messages:
        wait_until(lambda m=message: queue.send(m), "the queue has room: receiving goes on")
        count += 1
    return count


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Return JSON events with numbers from `start` on."""
    return [EVENT % n for n in range(start, start + count)]


def stored(collector: CollectorProcess) -> list[int]:
    """Return the numbers of the stored events, in order."""
    return sorted(row["event"]["n"] for row in collector.events())


def wait_stored(collector: CollectorProcess, numbers: Iterable[int]) -> None:
    """Wait until as many events are stored; they must be these, each once."""
    expected = sorted(numbers)
    wait_until(lambda: len(collector.events()) >= len(expected), f"{len(expected)} events are stored")
    assert stored(collector) == expected


def requests_since(collector: CollectorProcess, since: float) -> list[dict[str, Any]]:
    """Return the requests that the collector has seen since a time of day."""
    return [request for request in collector.requests() if request["at"] >= since]


def check_books(sidecar: SidecarProcess, **expected: int) -> None:
    """Compare the ledger of a stopped sidecar; it must balance."""
    ledger = sidecar.ledger()
    assert {key: ledger[key] for key in expected} == expected
    assert ledger["unaccounted"] == 0


def stop_and_check(sidecar: SidecarProcess, count: int) -> None:
    """Stop a sidecar that has delivered everything; its books and its spool say so."""
    assert sidecar.stop() == 0
    check_books(sidecar, received=count, delivered=count)
    assert sidecar.batches() == []
    assert sidecar.dead_letters() == []
