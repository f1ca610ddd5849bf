"""How handlers are found, added and taken away."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support.handlers import OURS, VARIABLE, Answers

from eventpub import Event, handlers
from eventpub.errors import HandlerError
from eventpub.handlers import EventManager
from eventpub.handlers.to_file import FileHandler
from eventpub.handlers.to_queue import QueueHandler


@pytest.mark.parametrize("name", OURS)
def test_each_of_ours_is_found_by_its_name(name: str, manager: EventManager):
    assert manager.get_handler(name) is OURS[name]


def test_an_unknown_handler_is_refused_with_those_there_are(manager: EventManager):
    with pytest.raises(
        HandlerError, match=r"'smpt': .*did you mean smtp\?.*file, http, logging, queue, s3, smtp"
    ):
        manager.add_handler("smpt")
    with pytest.raises(HandlerError, match="there is no such handler"):
        manager.add_handler()  # type: ignore[call-overload]


def test_a_handler_of_another_package_is_found_and_made_with_its_arguments(manager: EventManager, install: Any):
    source = """
from eventpub.handlers import EventHandler
class Chat(EventHandler):
    def __init__(self, room, loud=False):
        self.room, self.loud = room, loud
    def send_event(self, event):
        return self.loud
    @classmethod
    def decode_config(cls, config_str):
        room, _, loud = config_str.partition("=")
        return {"room": room, "loud": loud == "yes"}
    def encode_config(self):
        return f"{self.room}={'yes' if self.loud else 'no'}"
"""
    install("chat_of_a_test", {"chat": "chat_of_a_test:Chat"}, source)
    manager.add_handler("chat", "tea", loud=True)
    assert (manager.handlers["chat"].room, manager.send_event(Event("build"))) == ("tea", True)
    manager.handler_config_as_env(VARIABLE)
    assert os.environ[VARIABLE] == "chat=tea=yes"
    other = EventManager()
    other.load_handlers_from_env(VARIABLE)
    assert vars(other.handlers["chat"]) == {"room": "tea", "loud": True}
    with pytest.raises(HandlerError, match=r"does not take these arguments.*volume"):
        manager.add_handler("chat", "tea", volume=11)


@pytest.mark.parametrize(
    ("points", "source", "reason"),
    [
        ({"odd": "odd_of_a_test:Missing"}, "", "odd_of_a_test:Missing cannot be loaded"),
        ({"odd": "odd_of_a_test:Raises"}, "raise RuntimeError('broken')", "cannot be loaded: broken"),
        (
            {"odd": "odd_of_a_test:Odd"},
            "class Odd: pass",
            "is not a subclass of eventpub.handlers.EventHandler",
        ),
        ({"odd": "odd_of_a_test:Odd"}, "Odd = 5", "is not a subclass of eventpub.handlers.EventHandler"),
        ({"odd": "odd_of_a_test:Odd"}, "import sys; sys.exit('bye')", "cannot be loaded: bye"),
    ],
)
def test_an_entry_point_that_leads_to_no_handler_is_refused(
    points: dict[str, str], source: str, reason: str, manager: EventManager, install: Any
):
    sys.modules.pop("odd_of_a_test", None)
    install("odd_of_a_test", points, source)
    with pytest.raises(HandlerError, match=reason):
        manager.get_handler(next(iter(points)))


def test_a_package_that_takes_a_name_of_ours_does_not_break_it(manager: EventManager, install: Any):
    install("file_of_a_test", {"file": "file_of_a_test:Odd"}, "")
    assert manager.get_handler("file") is FileHandler


def test_a_handler_can_be_taken_away_again(manager: EventManager):
    first, second = Answers(), Answers()
    manager.register("first", first)
    manager.register("second", second)
    manager.unregister("first")
    assert manager.send_event(Event("build"))
    assert (list(manager.handlers), first.events == [], len(second.events)) == (["second"], True, 1)
    with pytest.raises(HandlerError, match="no handler is registered by that name"):
        manager.unregister("first")


def test_a_handler_that_ends_the_process_fails_and_the_next_gets_the_event(manager: EventManager):
    class Ends(Answers):
        def send_event(self, event: Any) -> bool:
            raise SystemExit(event)

    manager.register("ends", Ends())
    manager.register("next", following := Answers())
    assert not manager.send_event(Event("build"))
    assert len(following.events) == 1


def test_the_name_of_a_handler_may_be_given_by_name(manager: EventManager, tmp_path: Path):
    manager.add_handler(name="file", folder=tmp_path)
    manager.add_handler("queue", name="v2")
    assert dict(manager.handlers) == {"file": FileHandler(tmp_path), "queue": QueueHandler("v2")}


def test_a_level_of_the_package_goes_for_all_its_loggers(
    manager: EventManager, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.CRITICAL, logger=handlers.logger.name)
    manager.register("failing", Answers(answer=False))
    manager.send_event(Event("build"))
    assert caplog.records == []
