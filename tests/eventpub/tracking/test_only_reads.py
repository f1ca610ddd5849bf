"""`only_reads` is a promise of the class whose methods are in use: `eventpub/pipeline.py`."""

from __future__ import annotations

from typing import Any

import pytest

from eventpub import EventQueue
from eventpub.pipeline import only_reads
from eventpub.testing import MemoryQueue
from eventpub.tracking import AsyncBackend, LoggerBackend, MemoryBackend, RoutingBackend, Tracker

PROMISE = [EventQueue, LoggerBackend, MemoryBackend, AsyncBackend, RoutingBackend, MemoryQueue]


@pytest.mark.parametrize("cls", PROMISE)
def test_a_subclass_whose_send_processes_in_place_changes_nobodys_data(cls: Any):
    class Changes(cls):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def send(self, event: Any) -> None:
            event["data"]["price"] = "hidden"
            event["context"]["user"]["id"] = "hidden"

    data, context = {"price": 4.5}, {"user": {"id": 7}}
    seen = MemoryBackend()
    tracker = Tracker({"changes": Changes(), "seen": seen})
    with tracker.context("request", context):
        tracker.emit("bought", data)
        tracker.emit("bought", data)
    assert (data, context) == ({"price": 4.5}, {"user": {"id": 7}})


def test_a_promise_holds_where_the_class_that_makes_it_has_the_methods():
    class Plain(MemoryBackend):
        """Overrides nothing of it."""

        def count(self) -> int:
            return len(self.events)

    class Renews(MemoryBackend):
        only_reads = True

        def send(self, event: Any, /) -> None:
            super().send(event)

    class Breaks(Renews):
        def send(self, event: Any, /) -> None:
            event.clear()

    class Helps(MemoryBackend):
        def clear(self) -> None:
            super().clear()

    assert [only_reads(cls()) for cls in (MemoryBackend, Plain, Renews)] == [True] * 3
    assert [only_reads(cls()) for cls in (Breaks, Helps)] == [False] * 2


def test_an_instance_whose_send_was_replaced_promises_nothing():
    memory = MemoryBackend()
    memory.send = lambda event, /: event.clear()  # type: ignore[method-assign]
    assert not only_reads(memory)
    tracker = Tracker({"memory": memory})
    with tracker.context("c", context := {"a": {"b": 1}}):
        tracker.emit("x", data := {"c": 2})
    assert (context, data) == ({"a": {"b": 1}}, {"c": 2})


def test_an_instance_may_promise_for_itself():
    class Mine:
        def send(self, event: Any) -> None: ...

    mine = Mine()
    assert not only_reads(mine)
    mine.only_reads = True  # type: ignore[attr-defined]
    assert only_reads(mine)
    mine.only_reads = "yes"  # type: ignore[attr-defined]
    assert not only_reads(mine)
