"""What code that uses `eventpub.tracking` gets from its types: checked by `make lint`, never run."""

from __future__ import annotations

from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from typing_extensions import assert_type

from eventpub import EventQueue
from eventpub.pipeline import Backend
from eventpub.tracking import (
    AsyncBackend,
    EventEmissionExit,
    LoggerBackend,
    MemoryBackend,
    NameAllowlist,
    RegexFilter,
    RoutingBackend,
    TrackedEvent,
    Tracker,
    carried,
    emit,
    get_tracker,
    register_tracker,
    snapshot,
)


def add_host(event: TrackedEvent) -> None:
    event["context"]["host"] = "app-1"


def rename(event: TrackedEvent) -> TrackedEvent:
    return {**event, "name": "other"}


def end(event: dict[str, Any]) -> dict[str, Any] | None:
    if event["name"] == "debug":
        raise EventEmissionExit
    return None


class MyBackend:
    def send(self, event: TrackedEvent) -> None:
        assert_type(event["data"], dict[str, Any])


class MyLocator:
    def __init__(self) -> None:
        self.contexts: dict[str, Any] = {}

    def get(self) -> dict[str, Any]:
        return self.contexts


tracker = Tracker(
    backends={
        "queue": EventQueue[dict[str, Any]]("app"),
        "mine": MyBackend(),
        "log": LoggerBackend(name="events", level="debug"),
        "branch": RoutingBackend(
            {"async": AsyncBackend(MyBackend(), when_full="drop_oldest")}, [RegexFilter()]
        ),
    },
    context_locator=MyLocator(),
    processors=[add_host, rename, end, NameAllowlist({"a"}), lambda _: None],
)
register_tracker(tracker)
assert_type(get_tracker("audit"), Tracker)
assert_type(tracker.get_backend("log"), Backend)
assert_type(tracker.located_context, MutableMapping[str, Any])
assert_type(tracker.resolve_context(), dict[str, Any])

emit("name", {"a": 1})
with tracker.context("request", {"path": "/"}):
    tracker.emit(data={"a": 1})


@tracker.context("job", {"job": "nightly"})
def job(count: int, *, verbose: bool) -> str:
    return str(count if verbose else -count)


assert_type(job(1, verbose=True), str)
assert_type(carried(job)(1, verbose=True), str)
ThreadPoolExecutor().submit(carried(job), 1, verbose=True)
assert_type(snapshot([1]), list[int])
assert_type(MemoryBackend().names, list[str])

# what must not pass
tracker.emit(1)  # type: ignore[arg-type]
tracker.emit("name", ["no mapping"])  # type: ignore[arg-type]
Tracker({"b": object()})  # type: ignore[dict-item]
Tracker(processors=["lowercase"])  # type: ignore[list-item]
RegexFilter("whitelist")  # type: ignore[arg-type]
AsyncBackend(MyBackend(), when_full="explode")  # type: ignore[arg-type]
carried(job)("1")  # type: ignore[call-arg, arg-type]
MyBackend().send({"name": "no time, no data"})  # type: ignore[typeddict-item]
