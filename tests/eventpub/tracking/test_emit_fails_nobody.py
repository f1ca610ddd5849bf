"""`Tracker.emit` raises nothing, does not recurse, and logs no values; what it swallowed is counted by kind."""

from __future__ import annotations

import logging
import threading
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import pytest

from eventpub.testing import MemoryQueue
from eventpub.tracking import AsyncBackend, LoggerBackend, MemoryBackend, RoutingBackend, Tracker

SECRET = "alice@example.com 4111-1111"


class Truthless:
    """Like a numpy array: asked for its truth it raises."""

    def __bool__(self) -> bool:
        raise ValueError(SECRET)


class Late(UserDict[str, Any]):
    """Like a session that is read when it is closed."""

    def keys(self) -> Any:
        raise RuntimeError(SECRET)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError(SECRET)


class Lazy:
    """Like Django's SimpleLazyObject: whatever is asked of it is looked up first, which fails."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            raise LookupError(SECRET)
        raise LookupError(SECRET)


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise ValueError(SECRET)

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


@pytest.mark.parametrize(
    "data", [Truthless(), [], 0, "", Late(), Unequal(), {"session": Late()}, {"x": Truthless()}]
)
def test_data_of_any_kind_is_emitted(data: Any, memory: MemoryBackend):
    tracker = Tracker({"memory": memory}, processors=[lambda _: None])
    tracker.emit("n", data)
    assert memory.names == ["n"]


def test_numpy_arrays_are_emitted(memory: MemoryBackend):
    numpy = pytest.importorskip("numpy")
    tracker = Tracker({"memory": memory})
    tracker.emit("n", numpy.array([1, 2]))
    with tracker.context("array", {"a": numpy.array([1, 2])}):
        tracker.emit("m", {"a": numpy.array([1, 2])})
    assert memory.names == ["n", "m"]
    assert not tracker.failures


def make_truthless() -> Any:
    context: Any = Truthless()
    context.keys = lambda: context  # which is not iterable
    return context


@pytest.mark.parametrize("make", [Late, Lazy, make_truthless])
def test_a_context_that_fails_is_left_out_and_counted_by_its_name(
    make: Any, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
):
    context = make()
    tracker = Tracker({"memory": memory})
    with (
        tracker.context("before", {"path": "/"}),
        tracker.context("user", context),
        tracker.context("after", x=1),
    ):
        tracker.emit("n", {"a": 1})
        assert tracker.resolve_context() == {"path": "/", "x": 1}
    assert [event["context"] for event in memory.events] == [{"path": "/", "x": 1}]
    assert tracker.failures == {"context user": 2}
    assert SECRET not in caplog.text
    assert "context 'user' failed" in caplog.text


def test_a_locator_that_fails_costs_its_contexts_only(memory: MemoryBackend):
    class Lost:
        def get(self) -> Any:
            raise LookupError(SECRET)

    tracker = Tracker({"memory": memory}, context_locator=Lost())
    tracker.emit("n")
    assert (memory.names, tracker.failures) == (["n"], {"context locator": 1})


def test_a_name_without_a_truth_fails_nobody(memory: MemoryBackend):
    tracker = Tracker({"memory": memory})
    tracker.emit(Truthless())  # type: ignore[arg-type]
    assert sum(tracker.failures.values()) + len(memory.events) == 1


def test_a_backend_whose_attributes_cannot_be_read_fails_nobody(memory: MemoryBackend):
    class Odd:
        def __init__(self) -> None:
            self.events: list[Any] = []

        @property
        def only_reads(self) -> bool:
            raise RuntimeError(SECRET)

        def send(self, event: Any) -> None:
            self.events.append(event)

    odd = Odd()
    tracker = Tracker({"odd": odd, "memory": memory})
    tracker.emit("n")
    assert (len(odd.events), memory.names) == (1, ["n"])


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def send(self, _: Any) -> None:
        raise self.error


def failing(_: Any) -> None:
    raise KeyError(SECRET)


def test_what_processors_and_backends_raise_is_logged_by_type_and_place_and_not_by_what_it_says(
    caplog: pytest.LogCaptureFixture,
):
    chained = LookupError(SECRET)
    chained.__cause__ = OSError(SECRET)
    backends = {"failing": Failing(ValueError(SECRET)), "chained": Failing(chained)}
    tracker = Tracker(backends, processors=[failing])
    tracker.emit("shop.buy", {"card": SECRET})
    assert SECRET not in caplog.text
    for word in ("KeyError", "ValueError", "LookupError", "shop.buy", "'failing'", "test_emit_fails_nobody.py"):
        assert word in caplog.text
    assert tracker.failures == {"processor failing": 1, "backend failing": 1, "backend chained": 1}


def test_a_background_logs_no_values_either(caplog: pytest.LogCaptureFixture):
    with AsyncBackend(Failing(ValueError(SECRET))) as background:
        background.send({"name": "n"})
        assert background.flush(20)
    assert SECRET not in caplog.text
    assert "ValueError" in caplog.text


@pytest.fixture
def emitting_log() -> Iterator[list[Tracker]]:
    """A handler at the root of all loggers that emits what is logged through these trackers."""
    trackers: list[Tracker] = []

    class Emitting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            for tracker in trackers:
                tracker.emit("logged", {"level": record.levelname})

    handler = Emitting()
    logging.getLogger().addHandler(handler)
    yield trackers
    logging.getLogger().removeHandler(handler)


def test_a_full_queue_and_a_log_that_emits_cost_two_failures_and_one_line(
    emitting_log: list[Tracker], caplog: pytest.LogCaptureFixture
):
    queue: MemoryQueue[Any] = MemoryQueue(max_messages=1)
    tracker = Tracker({"queue": queue})
    emitting_log.append(tracker)
    tracker.emit("first")
    logging.getLogger("shop").warning("of the application")
    assert tracker.failures == {"backend queue": 2}  # of "logged", and of the failure's own line
    assert [record.name for record in caplog.records] == ["eventpub.tracking", "shop"]
    assert len(queue.events) == 1


def test_a_log_that_is_a_backend_and_emits_comes_to_an_end(emitting_log: list[Tracker]):
    memory = MemoryBackend()
    tracker = Tracker({"log": LoggerBackend(name="audit", level=logging.WARNING), "memory": memory})
    emitting_log.append(tracker)
    tracker.emit("n")
    assert len(memory.events) <= 3
    assert tracker.failures["nested"] == 1
    tracker.emit("m")
    assert memory.names.count("m") == 1


def test_a_processor_that_emits_may_but_not_without_end(memory: MemoryBackend):
    def twice(event: Any) -> None:
        tracker.emit(f"{event['name']}.again")

    tracker = Tracker({"memory": memory}, processors=[twice])
    tracker.emit("a")
    assert memory.names == ["a.again.again", "a.again", "a"]
    assert tracker.failures == {"nested": 1}
    with_once = Tracker({"memory": memory}, processors=[lambda _: tracker.emit("other")])
    with_once.emit("b")
    assert memory.names[-1] == "b"


def test_a_handler_of_logs_that_raises_fails_nobody(memory: MemoryBackend):
    class Raising(logging.Handler):
        def handle(self, _: logging.LogRecord) -> Any:
            raise OSError(SECRET)

    handler = Raising()
    logger = logging.getLogger("eventpub.tracking")
    logger.addHandler(handler)
    try:
        tracker = Tracker({"failing": Failing(ValueError()), "memory": memory})
        tracker.emit("n")
    finally:
        logger.removeHandler(handler)
    assert memory.names == ["n"]
    assert tracker.failures == {"backend failing": 1, "log": 1}


def test_failures_are_told_to_a_metric_by_kind_whatever_it_does():
    told: list[str] = []

    def metric(kind: str) -> None:
        told.append(kind)
        raise OSError(SECRET)

    tracker = Tracker({"failing": Failing(ValueError())})
    tracker.failures.metric = metric
    tracker.emit("n")
    with tracker.context("user", Late()):
        tracker.emit("n")
    assert told == ["backend failing", "context user", "backend failing"]


def test_failures_of_many_threads_are_all_counted():
    tracker = Tracker({"failing": Failing(ValueError())})
    logging.getLogger("eventpub.tracking").disabled = True
    try:
        threads = [threading.Thread(target=lambda: [tracker.emit("n") for _ in range(500)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        logging.getLogger("eventpub.tracking").disabled = False
    assert tracker.failures == {"backend failing": 4000}


def test_what_is_no_exception_of_the_program_comes_through_and_the_next_event_too(memory: MemoryBackend):
    tracker = Tracker({"1": Failing(KeyboardInterrupt()), "2": memory})  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        tracker.emit("n")
    tracker.backends.pop("1")
    tracker.emit("m")
    assert memory.names == ["m"]


def test_a_router_alone_keeps_its_word_too(memory: MemoryBackend):
    router = RoutingBackend({"memory": memory}, [failing])
    router.send({"name": "n", "session": Late()})
    assert memory.names == ["n"]


# --- on_commit -------------------------------------------------------------------------------------------


class Transaction:
    """Somebody's unit of work."""

    def __init__(self) -> None:
        self.after: list[Any] = []

    def commit(self) -> None:
        for function in self.after:
            function()


def test_an_event_on_commit_is_sent_as_it_was_when_the_transaction_is_committed(memory: MemoryBackend):
    transaction = Transaction()
    tracker = Tracker({"memory": memory}, commit_hook=transaction.after.append)
    data = {"items": [1]}
    with tracker.context("request", path="/"):
        tracker.emit("order.placed", data, on_commit=True)
        tracker.emit("order.seen")
    data["items"].append(2)
    assert memory.names == ["order.seen"]
    transaction.commit()
    assert memory.names == ["order.seen", "order.placed"]
    assert (memory.events[1]["data"], memory.events[1]["context"]) == ({"items": [1]}, {"path": "/"})
    assert memory.events[1]["timestamp"] <= memory.events[0]["timestamp"]


def test_what_is_rolled_back_is_never_sent(memory: MemoryBackend):
    tracker = Tracker({"memory": memory}, commit_hook=Transaction().after.append)
    tracker.emit("order.placed", on_commit=True)
    assert memory.events == []


def test_a_tracker_may_wait_for_commits_by_default_and_an_event_not(memory: MemoryBackend):
    transaction = Transaction()
    tracker = Tracker({"memory": memory}, commit_hook=transaction.after.append, on_commit=True)
    tracker.emit("waits")
    tracker.emit("goes", on_commit=False)
    assert memory.names == ["goes"]
    transaction.commit()
    assert memory.names == ["goes", "waits"]


def test_without_a_hook_or_with_one_that_fails_the_event_is_sent_at_once_and_that_is_counted(
    memory: MemoryBackend, caplog: pytest.LogCaptureFixture
):
    def refuse(_: Any) -> None:
        raise RuntimeError(SECRET)

    tracker = Tracker({"memory": memory})
    tracker.emit("a", on_commit=True)
    tracker.commit_hook = refuse
    tracker.emit("b", on_commit=True)
    assert memory.names == ["a", "b"]
    assert tracker.failures == {"on_commit without a commit_hook": 1, "on_commit": 1}
    assert SECRET not in caplog.text
