"""`@tracker.tracked(name)`: calls that emit how long they took and how they ended."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from eventpub.tracking import MemoryBackend, Tracker


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def tracker(memory: MemoryBackend) -> Tracker:
    return Tracker({"memory": memory})


def test_a_call_emits_its_duration_and_its_outcome_and_returns_what_it_returned(
    tracker: Tracker, memory: MemoryBackend
):
    @tracker.tracked("report.made", {"kind": "daily"})
    def make_report(pages: int) -> list[int]:
        """Make it."""
        return [pages]

    assert make_report(3) == [3]
    assert (make_report.__name__, make_report.__doc__) == ("make_report", "Make it.")
    (event,) = memory.events
    assert event["name"] == "report.made"
    assert event["data"].pop("duration_ms") >= 0
    assert event["data"] == {"kind": "daily", "outcome": "success"}


def test_a_call_that_raises_emits_the_type_of_the_error_and_raises_it(tracker: Tracker, memory: MemoryBackend):
    @tracker.tracked("report.made")
    def fail() -> None:
        raise LookupError("secret")

    with pytest.raises(LookupError, match="secret"):
        fail()
    (event,) = memory.events
    assert (event["data"]["outcome"], event["data"]["error"]) == ("error", "LookupError")
    assert "secret" not in repr(event)


def test_a_coroutine_function_emits_when_its_coroutine_ends(tracker: Tracker, memory: MemoryBackend):
    @tracker.tracked("report.made")
    async def make_report() -> str:
        assert memory.events == []
        await asyncio.sleep(0.01)
        return "made"

    assert inspect.iscoroutinefunction(make_report)
    assert asyncio.run(make_report()) == "made"
    (event,) = memory.events
    assert event["data"]["outcome"] == "success"
    assert event["data"]["duration_ms"] >= 9


def test_a_coroutine_that_is_cancelled_says_so(tracker: Tracker, memory: MemoryBackend):
    @tracker.tracked("report.made")
    async def make_report() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(make_report())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [event["data"]["outcome"] for event in memory.events] == ["cancelled"]


def test_methods_recursion_and_contexts_are_as_in_any_function(tracker: Tracker, memory: MemoryBackend):
    class Report:
        @tracker.tracked("report.made")
        def depth(self, more: int) -> int:
            with tracker.context("depth", depth=more):
                return 1 + self.depth(more - 1) if more else 1

    with tracker.context("request", path="/"):
        assert Report().depth(2) == 3
    assert [event["context"] for event in memory.events] == [
        {"path": "/", "depth": 1},
        {"path": "/", "depth": 2},
        {"path": "/"},
    ]


def test_a_generator_function_is_refused(tracker: Tracker):
    def parts() -> Iterator[int]:
        yield 1

    async def later_parts() -> AsyncIterator[int]:
        yield 1

    for late in (parts, later_parts):
        with pytest.raises(TypeError, match="tells nothing of"):
            tracker.tracked("report.made")(late)


def test_a_data_that_changes_later_changes_no_event(tracker: Tracker, memory: MemoryBackend):
    data: dict[str, Any] = {"kind": "daily"}
    decorated = tracker.tracked("report.made", data)(lambda: None)
    data["kind"] = "weekly"
    decorated()
    assert memory.events[0]["data"]["kind"] == "daily"
