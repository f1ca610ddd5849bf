"""Lines of a log as events: `EventLoggingHandler` and the processor for structlog."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from eventpub import EventQueue
from eventpub.integrations.logs import EventLoggingHandler, EventLogProcessor
from eventpub.testing import MemoryQueue, capture_events
from eventpub.tracking import MemoryBackend, Redact, Tracker, register_tracker
from eventpub.tracking import tracker as tracker_module


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def tracker(memory: MemoryBackend) -> Tracker:
    return Tracker({"memory": memory})


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log = logging.getLogger("shop.of.a.test")
    log.setLevel(logging.DEBUG)
    yield log
    for handler in list(log.handlers):
        log.removeHandler(handler)


def test_a_record_becomes_an_event(log: logging.Logger, tracker: Tracker, memory: MemoryBackend):
    log.addHandler(EventLoggingHandler(tracker, level="INFO"))
    log.debug("not this one")
    log.warning("%d left of %s", 3, "oolong", extra={"tea": "oolong", "tags": {1}})
    try:
        raise LookupError("secret")  # noqa: TRY301, as applications do
    except LookupError:
        log.exception("failed")
    first, second = memory.events
    assert first["name"] == "log.warning"
    said = {"logger": "shop.of.a.test", "level": "warning", "message": "3 left of oolong"}
    assert first["data"] == {**said, "tea": "oolong", "tags": {1}}
    assert (second["name"], second["data"]["error"]) == ("log.error", "LookupError")
    assert "secret" not in repr(second)


def test_a_record_may_name_its_event(log: logging.Logger, tracker: Tracker, memory: MemoryBackend):
    log.addHandler(EventLoggingHandler(tracker))
    with tracker.context("request", {"path": "/pay"}):
        log.info("paid", extra={"event": "shop.order.paid", "order": 7})
    (event,) = memory.events
    assert (event["name"], event["context"]) == ("shop.order.paid", {"path": "/pay"})
    assert event["data"]["order"] == 7
    assert "event" not in event["data"]


def test_what_is_logged_while_an_event_is_emitted_makes_no_event(log: logging.Logger, memory: MemoryBackend):
    class Logs:
        def send(self, event: Any) -> None:
            log.error("cannot send %s", event["name"])
            raise RuntimeError

    tracker = Tracker({"logs": Logs(), "memory": memory}, processors=[lambda _event: log.info("processing")])
    handler = EventLoggingHandler(tracker)
    log.addHandler(handler)
    log.warning("once")
    assert memory.names == ["log.warning"]
    assert handler.dropped == 2


def test_a_full_queue_that_is_logged_at_the_root_comes_to_an_end(caplog: pytest.LogCaptureFixture):
    queue = MemoryQueue[Any](max_messages=1)
    handler = EventLoggingHandler(Tracker({"queue": queue}))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        for _ in range(3):
            root.warning("something")
    finally:
        root.removeHandler(handler)
    assert len(queue.events) == 1
    assert handler.dropped == 2  # what was logged of the full queue
    assert len([record for record in caplog.records if record.name == "root"]) == 3


def test_nothing_of_it_reaches_the_code_that_logs(log: logging.Logger, capsys: pytest.CaptureFixture[str]):
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("hostile")

    tracker_module._trackers.clear()
    handler = EventLoggingHandler()
    log.propagate = False
    log.addHandler(handler)
    try:
        log.warning("no tracker yet")
        with capture_events() as captured:
            register_tracker(Tracker({"queue": EventQueue("logs")}))
            log.warning("%d %d", 1)  # noqa: PLE1206, as applications do
            log.warning("%s", Hostile())
            log.warning("odd", extra={"odd": object()})
    finally:
        log.propagate = True
        tracker_module._trackers.clear()
    assert handler.dropped == 1
    assert [event["data"]["message"] for event in captured.decoded] == ["%d %d", "%s", "odd"]
    assert captured.decoded[-1]["data"]["odd"] == "<unserializable object>"
    assert capsys.readouterr().err == ""


def test_a_processor_guards_what_is_logged(log: logging.Logger, memory: MemoryBackend):
    log.addHandler(EventLoggingHandler(Tracker({"memory": memory}, processors=[Redact("card")])))
    log.info("paid", extra={"card": "4111"})
    assert memory.events[0]["data"]["card"] == "[redacted]"


# --- structlog -------------------------------------------------------------------------------------------


def test_a_line_of_structlog_becomes_an_event_and_goes_on(tracker: Tracker, memory: MemoryBackend):
    structlog = pytest.importorskip("structlog", reason="structlog is not installed")
    lines: list[Any] = []

    def keep(_logger: Any, _method: str, line: Any) -> Any:
        lines.append(dict(line))
        raise structlog.DropEvent

    log = structlog.wrap_logger(None, processors=[EventLogProcessor(tracker), keep]).bind(user=7)
    log.info("shop.order.paid", order=3)
    log.warning("almost out of tea", exc_info=True)  # noqa: LOG014, as applications do
    assert lines == [
        {"event": "shop.order.paid", "order": 3, "user": 7},
        {"event": "almost out of tea", "user": 7, "exc_info": True},
    ]
    first, second = memory.events
    assert (first["name"], first["data"]) == ("shop.order.paid", {"user": 7, "order": 3})
    assert (second["name"], second["data"]) == ("log.warning", {"user": 7, "message": "almost out of tea"})


def test_lines_that_are_logged_while_one_is_emitted_make_no_event(memory: MemoryBackend):
    class Logs:
        def send(self, _event: Any) -> None:
            processor(None, "error", {"event": "again"})

    processor = EventLogProcessor(Tracker({"logs": Logs(), "memory": memory}))
    line = {"event": "once"}
    assert processor(None, "info", line) is line
    assert (memory.names, processor.dropped) == (["log.info"], 1)


def test_lines_of_our_own_make_no_event(tracker: Tracker, memory: MemoryBackend):
    processor = EventLogProcessor(tracker)
    processor(None, "error", {"event": "a queue is full", "logger": "eventpub.tracking"})
    assert (memory.events, processor.dropped) == ([], 1)
