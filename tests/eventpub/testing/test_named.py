"""Captured events by their names: `captured_events.named("shop.*").one()`."""

from __future__ import annotations

import pytest

from eventpub import EventQueue, serialize_v2_event
from eventpub.schemas.event.ttypes import Event
from eventpub.testing import MemoryQueue, capture_events
from eventpub.tracking import Tracker


def test_events_are_found_by_name_and_by_pattern():
    with capture_events() as captured:
        tracker = Tracker({"queue": EventQueue("named")})
        for name in ("shop.tea.buy", "shop.tea.sell", "page.view"):
            tracker.emit(name, {"of": name})
    assert [event["name"] for event in captured.named("shop.*")] == ["shop.tea.buy", "shop.tea.sell"]
    assert captured.named("page.view").one()["data"] == {"of": "page.view"}
    assert captured.named("shop.tea") == []


def test_one_fails_the_test_and_says_what_was_captured():
    queue = MemoryQueue[dict[str, str]]()
    for name in ("a", "b", "b"):
        queue.put({"name": name})
    with pytest.raises(AssertionError, match=r"2 events are named 'b', not one; captured: 1 a, 2 b"):
        queue.named("b").one()
    with pytest.raises(AssertionError, match=r"0 events are named 'c\.\*', not one; captured: 1 a, 2 b"):
        queue.named("c.*").one()
    queue.clear()
    with pytest.raises(AssertionError, match="captured: none"):
        queue.named("a").one()


def test_version_2_events_are_named_by_source_noun_and_action():
    queue = MemoryQueue[Event](event_serializer=serialize_v2_event)
    queue.put(Event(source="shop", action="buy", noun="tea"))
    assert queue.named("shop.tea.*").one().noun == "tea"
