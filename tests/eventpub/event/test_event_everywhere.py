"""An `Event` and an `EventManager` at every place of the pipeline: queue, router, tracker, processor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventpub import Event, EventQueue, serialize_v2_event, to_v2_event
from eventpub.handlers import EventManager
from eventpub.processing import Processor, requires, want
from eventpub.schemas.event.ttypes import Event as V2Event
from eventpub.testing import take_messages
from eventpub.tracking import MemoryBackend, RoutingBackend, Tracker


@pytest.fixture
def queue(queue_name: str) -> Iterator[EventQueue[Any]]:
    with EventQueue[Any](queue_name, max_messages=10, max_message_size=1024) as queue:
        yield queue


@pytest.fixture
def filing(tmp_path: Path) -> EventManager:
    manager = EventManager()
    manager.add_handler("file", tmp_path / "events")
    return manager


def filed(tmp_path: Path) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in sorted((tmp_path / "events").glob("*.json"))]


def test_both_kinds_of_events_go_down_one_queue_as_version_2(queue: EventQueue[Any]):
    router = RoutingBackend({"queue": queue}, [to_v2_event])
    tracker = Tracker({"router": router})
    with tracker.context("request", {"request": {"id": "r1"}, "user_id": 7}):
        tracker.emit("shop.order.placed", {"price": 12.5})
    event = Event("shop.order.placed", "u1", price=12.5)
    router.send(event)
    router.send(struct := V2Event(source="shop", action="placed", noun="order"))
    tracked, own, thrift = map(json.loads, take_messages(queue.name))
    assert tracked["1"] == own["1"] == thrift["1"] == {"str": "shop"}
    assert tracked["51"] == own["51"] == {"map": ["str", "dbl", 1, {"price": 12.5}]}
    assert (tracked["20"], tracked["21"]) == ({"rec": {"1": {"str": "7"}}}, {"rec": {"1": {"str": "r1"}}})
    assert own["5"] == {"str": "u1"}
    assert json.dumps(thrift, separators=(",", ":")).encode() == serialize_v2_event(struct)
    assert router.failures == {}


def test_an_event_is_put_on_a_queue_as_it_is(queue: EventQueue[Any]):
    event = Event("build", project="tea")
    queue.put(event)
    assert list(map(json.loads, take_messages(queue.name))) == [event.as_dict()]


def test_a_manager_behind_a_tracker_gets_what_it_emits(filing: EventManager, tmp_path: Path):
    tracker = Tracker({"handlers": filing})
    tracker.emit("build", {"project": "tea"})
    (document,) = filed(tmp_path)
    assert (document["name"], document["data"]) == ("build", {"project": "tea"})
    assert document["timestamp"].endswith("+00:00")


def test_a_router_copies_an_event_for_who_keeps_it(queue: EventQueue[Any]):
    kept: list[Event] = []

    def tag(event: Event) -> None:
        event.tagged = True
        kept.append(event)

    memory = MemoryBackend()
    event = Event("build", parts=[1])
    RoutingBackend({"memory": memory, "queue": queue}, [tag]).send(event)
    assert not hasattr(event, "tagged")
    assert kept[0].parts is not event.parts
    assert memory.events[0].tagged
    assert take_messages(queue.name)


def test_a_processor_handles_an_event_and_sends_it_on(filing: EventManager, tmp_path: Path):
    @want("build")
    def rate(_processor: Processor, event: Event) -> None:
        event.proc.billing.rate = 2
        event.cost = event.hours * event.proc.billing.rate

    @want("build")
    @requires("rate")
    def send(_processor: Processor, event: Event) -> None:
        filing.send(event)

    processor = Processor()
    processor.register(rate)
    processor.register(send)
    processor.process(Event("build", hours=3))
    processor.process(Event("other", hours=3))
    (document,) = filed(tmp_path)
    assert document["cost"] == 6
