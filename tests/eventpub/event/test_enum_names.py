"""A member of an enum that is an event's name, or a key, stands for its value, in every stage."""

from __future__ import annotations

from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventpub import Event, to_v2_event
from eventpub.errors import EventClosedError
from eventpub.handlers import EventManager
from eventpub.processing import Processor, want
from eventpub.schemas.event.ttypes import Event as V2Event
from eventpub.tracking import MemoryBackend, NameAllowlist, RegexFilter, Tracker

NAME = "shop.tea.buy"


class Text(str, Enum):
    BUY = NAME
    SHOP, USER = "shop", "user_id"


class Plain(Enum):
    BUY = NAME
    SHOP, USER = "shop", "user_id"


each_kind = pytest.mark.parametrize("kind", [Text, Plain])


def emitted(name: Any, *processors: Any) -> list[Any]:
    memory = MemoryBackend()
    Tracker({"memory": memory}, processors=processors).emit(name, {"price": 1})
    return memory.events


@each_kind
def test_a_version_2_event_is_named_by_the_value(kind: Any):
    for event in (*emitted(kind.BUY, to_v2_event), to_v2_event(Event(kind.BUY))):
        assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")


@each_kind
def test_filters_know_the_value_whichever_side_has_the_member(kind: Any):
    assert emitted(kind.BUY, RegexFilter("allowlist", [r"shop\.tea\."]))
    assert not emitted(kind.BUY, RegexFilter("blocklist", [r"shop\.tea\."]))
    assert emitted(kind.BUY, NameAllowlist([kind.BUY]))
    assert emitted(kind.BUY, NameAllowlist([NAME]))
    assert emitted(NAME, NameAllowlist([kind.BUY]))


@each_kind
def test_a_handler_is_called_for_the_value_whichever_side_has_the_member(
    kind: Any,
):
    for wanted, sent in [(kind.BUY, kind.BUY), (kind.BUY, NAME), (NAME, kind.BUY)]:
        seen = MemoryBackend()
        processor: Processor[Any] = Processor()
        processor.register(want(wanted)(partial(_keep, seen)), "handler")
        processor.process({"name": sent})
        processor.process({"name": "other"})
        assert seen.names == [NAME]


def _keep(seen: MemoryBackend, _processor: Any, event: Any) -> None:
    seen.send(event)


@each_kind
def test_names_that_people_see_are_the_value(kind: Any, tmp_path: Path):
    manager = EventManager()
    manager.add_handler("file", tmp_path)
    event = Event(kind.BUY)
    event.close()
    assert manager.send_event(event)
    assert [path.name.startswith(f"{NAME}-") for path in tmp_path.iterdir()] == [True]
    with pytest.raises(EventClosedError, match=repr(NAME)):
        event.late = True
    memory = MemoryBackend()
    memory.send({"name": kind.BUY})
    memory.send(V2Event(source=kind.SHOP, noun="tea", action="buy"))
    assert memory.names == [NAME, NAME]


@each_kind
def test_keys_are_their_values_in_a_version_2_event(kind: Any):
    event = to_v2_event({"name": NAME, "data": {kind.SHOP: "tea"}, "context": {kind.USER: "u"}})
    assert (event.properties, event.user.id) == ({"shop": "tea"}, "u")
