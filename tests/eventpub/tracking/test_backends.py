"""The logger and the memory backend: `eventpub/tracking/logger.py` and `memory.py`."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from eventpub import EventQueue
from eventpub.errors import EventSerializationError
from eventpub.queue.message_queue import MessageQueue
from eventpub.schemas.event.ttypes import Event as ThriftEvent
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.unwritable import strict_values
from eventpub.tracking import LoggerBackend, LogLineTooLongError, MemoryBackend, Tracker


class Lines(logging.Handler):
    """What a logger wrote, as records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The lines of the logger "tracking test", which are nobody else's."""
    logger, lines = logging.getLogger("tracking test"), Lines()
    logger.addHandler(lines)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(lines)


# --- logger ----------------------------------------------------------------------------------------------


def test_an_event_is_one_line_of_json_whatever_it_holds(lines: Lines):
    tracker = Tracker({"log": LoggerBackend(name="tracking test")})
    user = uuid.uuid4()
    with tracker.context("request", {"user": user}):
        tracker.emit(
            "note.added",
            {"text": "two\nlines, 100 % and {braces}", "due": datetime(2026, 1, 2, tzinfo=timezone.utc)},
        )
    (line,) = lines.messages
    assert "\n" not in line
    event = json.loads(line)
    assert datetime.fromisoformat(event.pop("timestamp")).tzinfo is not None
    assert event == {
        "name": "note.added",
        "data": {"text": "two\nlines, 100 % and {braces}", "due": "2026-01-02T00:00:00+00:00"},
        "context": {"user": str(user)},
    }


def test_a_struct_is_logged_as_it_would_go_onto_a_queue(lines: Lines):
    struct = ThriftEvent(source="shop", action="buy", noun="tea")
    LoggerBackend(name="tracking test").send(struct)
    assert decode_struct(ThriftEvent, load_json(lines.messages[0].encode())) == struct


@pytest.mark.parametrize("level", ["warning", "WARNING", logging.WARNING])
def test_the_level_is_the_one_given_by_name_or_number(level: Any, lines: Lines):
    LoggerBackend(name="tracking test", level=level).send({})
    LoggerBackend(name="tracking test").send({})
    assert [record.levelno for record in lines.records] == [logging.WARNING, logging.INFO]


@pytest.mark.parametrize("level", ["loud", None])
def test_a_level_that_does_not_exist_is_a_value_error(level: Any):
    with pytest.raises(ValueError, match="there is no such level"):
        LoggerBackend(level=level)


def test_without_a_name_the_root_logger_is_used(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    LoggerBackend().send({"name": "n"})
    assert [record.name for record in caplog.records] == ["root"]


def test_an_event_of_a_level_that_is_switched_off_is_not_even_serialized(lines: Lines):
    def serialize(event: Any) -> bytes:
        raise AssertionError(event)

    LoggerBackend(name="tracking test", level="debug", serialize=serialize).send({})
    assert lines.messages == []


def test_a_line_has_as_many_bytes_as_allowed_and_not_one_more(lines: Lines):
    event = {"name": "é"}  # 13 bytes, 12 characters
    LoggerBackend(name="tracking test", max_event_size=13).send(event)
    assert lines.messages == ['{"name":"é"}']
    with pytest.raises(LogLineTooLongError, match="takes 13 bytes and its line may have 12") as caught:
        LoggerBackend(name="tracking test", max_event_size=12).send(event)
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (13, 12)
    assert len(lines.messages) == 1


def test_a_value_that_cannot_be_written_costs_that_value_alone(lines: Lines, caplog: pytest.LogCaptureFixture):
    backend = LoggerBackend(name="tracking test")
    with strict_values(), pytest.raises(EventSerializationError):
        backend.send({"value": object()})
    memory = MemoryBackend()
    Tracker({"log": backend, "memory": memory}).emit("n", {"price": object()})
    assert memory.names == ["n"]
    assert '"price":"<unserializable object>"' in lines.messages[0]
    assert "data.price is of type object" in caplog.text


# --- memory ----------------------------------------------------------------------------------------------


def test_events_are_kept_in_their_order_until_they_are_cleared():
    memory = MemoryBackend()
    for name in ("a", "b"):
        memory.send({"name": name})
    memory.send(ThriftEvent())
    assert memory.names == ["a", "b", "unknown"]
    assert memory.events == [{"name": "a"}, {"name": "b"}, ThriftEvent()]
    memory.clear()
    assert memory.events == []


def test_events_are_kept_as_they_were_when_sent():
    memory = MemoryBackend()
    event = {"name": "n", "data": {"items": [1]}}
    memory.send(event)
    event["data"]["items"].append(2)  # type: ignore[index]
    assert memory.events == [{"name": "n", "data": {"items": [1]}}]


def test_no_more_than_the_latest_events_are_kept_where_a_number_is_given():
    memory = MemoryBackend(max_events=2)
    for name in "abc":
        memory.send({"name": name})
    assert memory.names == ["b", "c"]


# --- queue -----------------------------------------------------------------------------------------------


def test_a_queue_as_backend_takes_tracked_events_out_of_the_process_and_needs_no_copy(queue_name: str):
    queue: EventQueue[Any] = EventQueue(queue_name, max_messages=10, max_message_size=1024)
    tracker = Tracker({"queue": queue})
    copies: list[Any] = []

    class Watched:
        def __deepcopy__(self, memo: Any) -> Watched:
            copies.append(self)
            return self

    with tracker.context("request", {"path": "/"}):
        tracker.emit("shop.cart.opened", {"items": 2})
    tracker.emit("watched", {"watched": Watched()})
    assert copies == []
    with MessageQueue.open(queue_name) as reader:
        event, watched = (json.loads(message) for message in iter(reader.receive, None))
    del event["timestamp"]
    assert event == {"name": "shop.cart.opened", "data": {"items": 2}, "context": {"path": "/"}}
    assert watched["data"] == {"watched": "<unserializable Watched>"}
    assert not tracker.routing_backend.failures
    queue.close()


def test_a_full_queue_costs_a_tracker_the_event_and_nothing_else(
    queue_name: str, caplog: pytest.LogCaptureFixture
):
    queue: EventQueue[Any] = EventQueue(queue_name, max_messages=1, max_message_size=1024)
    memory = MemoryBackend()
    tracker = Tracker({"1 queue": queue, "2 memory": memory})
    tracker.emit("a")
    tracker.emit("b")
    assert memory.names == ["a", "b"]
    (record,) = caplog.records
    assert (
        "backend '1 queue' failed, and event 'b' is lost there: EventQueueFullError: the event queue"
        in record.getMessage()
    )
    assert record.exc_info is None  # it may be full for long
    queue.close()
