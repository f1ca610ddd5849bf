"""What all integrations have in common: an application's settings -> its queue and its tracker."""

from __future__ import annotations

from typing import Any

import pytest

from eventpub import ConfigError, serialize_json_event, serialize_v2_event
from eventpub.errors import NotAStageError
from eventpub.integrations.app_events import open_events
from eventpub.schemas.event.ttypes import Event
from eventpub.testing import MemoryQueue, capture_events
from eventpub.tracking import MemoryBackend, NameAllowlist


def test_processors_that_are_added_see_what_was_tracked_and_the_queue_gets_version_2_events():
    queue: MemoryQueue[Any] = MemoryQueue(event_serializer=serialize_v2_event)
    tracker = open_events({"queue": queue}, "EVENTPUB").tracker

    def add_price(event: Any) -> None:
        event["data"]["price"] = 4.5

    tracker.routing_backend.register_processor(NameAllowlist(["cart.opened"]))
    tracker.routing_backend.register_processor(add_price)
    memory = MemoryBackend()
    tracker.routing_backend.register_backend("memory", memory)
    tracker.emit("cart.opened", {"kind": "oolong"})
    tracker.emit("cart.closed")
    (event,) = queue.events
    assert isinstance(event, Event)
    assert (event.noun, event.action, event.measurements) == ("cart", "opened", {"price": 4.5})
    assert [tracked["data"] for tracked in memory.events] == [{"kind": "oolong", "price": 4.5}]


def test_a_value_that_cannot_be_written_costs_a_version_2_event_that_value():
    queue: MemoryQueue[Any] = MemoryQueue(event_serializer=serialize_v2_event)
    tracker = open_events({"queue": queue}, "EVENTPUB").tracker
    tracker.emit("cart.opened", {"lock": object()})
    (event,) = queue.events
    assert (event.properties, tracker.routing_backend.failures) == ({"lock": "<unserializable object>"}, {})


def test_a_queue_that_is_none_is_not_given():
    with pytest.raises(ConfigError, match=r"\[EVENTPUB\] queue_name: is missing"):
        open_events({"queue": None}, "EVENTPUB")


@pytest.mark.parametrize("key", ["queue", "QUEUE"])
def test_a_queue_that_is_given_is_used_though_it_counts_as_false(key: str):
    class Counted(MemoryQueue[Any]):
        def __len__(self) -> int:
            return len(self.events)

    queue = Counted()
    with capture_events() as captured:
        assert open_events({key: queue}, "EVENTPUB").queue is queue
        assert open_events({key: queue, "QUEUE_NAME": "v2"}, "EVENTPUB").queue is queue
    assert captured.puts == []


def test_a_queue_that_takes_no_events_is_refused():
    with pytest.raises(NotAStageError, match=r"queue: .* has no send"):
        open_events({"queue": object()}, "EVENTPUB")


@pytest.mark.parametrize("key", ["serializer", "SERIALIZER", "Serializer"])
def test_a_serializer_that_is_a_function_is_used_however_its_key_is_written(key: str):
    with capture_events() as captured:
        open_events({"queue_name": "v2", key: serialize_json_event}, "EVENTPUB").tracker.emit("cart.opened")
    assert captured.decoded[0]["name"] == "cart.opened"
