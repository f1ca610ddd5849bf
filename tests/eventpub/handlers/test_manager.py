"""Event managers: every handler gets each event."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.handlers import Answers

from eventpub import Event
from eventpub.errors import EventFileError
from eventpub.handlers import EventHandler, EventManager
from eventpub.pipeline import Backend


@pytest.mark.parametrize("failure", [False, None, 0, RuntimeError("down"), KeyError(), AssertionError()])
def test_a_handler_that_fails_is_logged_and_does_not_stop_the_next(
    failure: Any, manager: EventManager, caplog: pytest.LogCaptureFixture
):
    first, failing, last = Answers(), Answers(failure), Answers()
    for name, handler in {"first": first, "failing": failing, "last": last}.items():
        manager.register(name, handler)
    event = Event("build")
    assert manager.send_event(event) is False
    assert first.events == failing.events == last.events == [event]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "'failing'" in record.message
    assert "'build'" in record.message
    assert bool(record.exc_info) == isinstance(failure, Exception)


@pytest.mark.parametrize("failure", [False, RuntimeError("down")])
def test_a_handler_that_fails_on_an_event_without_a_readable_name_does_not_stop_the_next(
    failure: Any, manager: EventManager, caplog: pytest.LogCaptureFixture
):
    class Nameless:
        @property
        def name(self) -> str:
            raise RuntimeError("no name")

    failing, last = Answers(failure), Answers()
    manager.register("failing", failing)
    manager.register("last", last)
    assert manager.send_event(Nameless()) is False
    assert len(last.events) == 1
    assert "'unknown'" in caplog.text


def test_all_handlers_succeeding_is_success_and_so_is_none_at_all(manager: EventManager):
    assert manager.send_event(Event("build")) is True
    manager.register("a", Answers())
    manager.register("b", Answers(1))
    assert manager.send_event(Event("build")) is True


def test_an_exception_that_ends_the_process_is_not_swallowed(manager: EventManager):
    manager.register("interrupted", Answers(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        manager.send_event(Event("build"))


def test_handlers_are_called_in_the_order_they_were_added_and_a_name_stands_once(manager: EventManager):
    order: list[str] = []

    class Noting(EventHandler):
        def __init__(self, name: str) -> None:
            self.name = name

        def send_event(self, event: Any) -> bool:  # noqa: ARG002
            order.append(self.name)
            return True

    for name in ("z", "a", "m"):
        manager.register(name, Noting(name))
    manager.register("a", Noting("a anew"))
    manager.send_event(Event("build"))
    assert order == ["z", "a anew", "m"]
    assert list(manager.handlers) == ["z", "a", "m"]
    with pytest.raises(TypeError):
        manager.handlers["b"] = Noting("b")  # type: ignore[index]


def test_any_event_goes_through_a_manager_and_a_manager_and_a_handler_stand_behind_anything(
    manager: EventManager,
):
    inner, handler = EventManager(), Answers()
    inner.register("answers", handler)

    class Through(EventHandler):
        def send_event(self, event: Any) -> bool:
            return inner.send(event)

    manager.register("inner", Through())
    for event in (Event("build"), {"name": "build"}, object()):
        assert manager.send(event) is True
        assert handler.events.pop() is event
    assert isinstance(manager, Backend)
    assert isinstance(handler, Backend)
    assert handler.send({"name": "build"}) is True


def test_a_method_that_is_overridden_or_patched_is_the_one_that_is_called():
    class Counting(EventManager):
        sent = 0

        def send_event(self, event: Any) -> bool:
            self.sent += 1
            return super().send_event(event)

    manager, handler = Counting(), Answers()
    manager.register("answers", handler)
    assert manager.send({"name": "build"}) is True
    assert manager.sent == 1
    with mock.patch.object(Answers, "send_event", return_value=False) as patched:
        assert manager.send({"name": "build"}) is False
    patched.assert_called_once_with({"name": "build"})
    assert len(handler.events) == 1


def test_an_event_is_sent_from_the_file_it_was_dumped_into(manager: EventManager, tmp_path: Path):
    handler = Answers()
    manager.register("answers", handler)
    with Event("build", project="tea") as event:
        pass
    assert manager.send_event_from_file(event.dump(tmp_path)) is True
    assert handler.events[0].as_dict() == event.as_dict()
    handler.answer = False
    assert manager.send_event_from_file(event.dump(tmp_path)) is False
    with pytest.raises(EventFileError):
        manager.send_event_from_file(tmp_path / "missing.json")
