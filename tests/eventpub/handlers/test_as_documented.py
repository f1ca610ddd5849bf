"""Events and handlers as e3-core's documentation of its package `event` has them, sentence by sentence.

Each test is named after what that page says, in its order. Where eventpub does more, or otherwise, the page
docs/coming-from-e3-core.md says so, and the last tests here prove it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.pages import read_blocks
from support.paths import ROOT

import eventpub
from eventpub import Event, EventError, EventQueue, handlers, serialize_json_event
from eventpub.errors import HandlerError
from eventpub.event import unique_id
from eventpub.handlers import EventHandler, EventManager
from eventpub.handlers.to_log import LoggingHandler
from eventpub.testing import take_messages

PAGE = (ROOT / "docs/coming-from-e3-core.md").read_text(encoding="utf-8")
VARIABLE = "EVENTPUB_TEST_DOCUMENTED"


class Keeper(EventHandler):
    """Needs no configuration."""

    def __init__(self, *, is_working: bool = True) -> None:
        self.is_working = is_working
        self.events: list[Event] = []

    def send_event(self, event: Any) -> bool:
        self.events.append(event)
        return self.is_working


@pytest.fixture(autouse=True)
def own_default_manager(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handlers.default_manager, "_handlers", {})
    monkeypatch.delenv("EVENTPUB_HANDLERS", raising=False)
    yield
    for name in ("EVENTPUB_HANDLERS", VARIABLE):
        os.environ.pop(name, None)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "build.log"
    path.write_text("all is well\n")
    return path


def manager_of(*added: EventHandler) -> EventManager:
    manager = EventManager()
    for number, handler in enumerate(added):
        manager.register(f"handler {number}", handler)
    return manager


# --- unique_id, Event ------------------------------------------------------------------------------------


def test_unique_id_returns_a_random_globally_unique_id():
    first, second = unique_id(), unique_id()
    assert isinstance(first, str)
    assert first != second


def test_an_event_is_composed_of_data_as_a_key_value_dict_and_of_attachments(log: Path):
    event = Event("build", project="tea")
    event.attach_file(str(log))
    assert event.as_dict()["project"] == "tea"
    assert list(event.get_attachments()) == ["log"]


def test_by_default_the_data_has_name_uid_begin_time_and_end_time():
    assert set(Event("build").as_dict()) == {"name", "uid", "begin_time", "end_time"}
    assert Event("build", "u1").uid == Event("build", uid="u1").uid == "u1"


def test_entering_the_context_manager_returns_the_event_and_leaving_it_closes_the_event():
    event = Event("build")
    with event as entered:
        assert entered is event
        assert event.end_time is None
    assert event.end_time is not None


def test_set_formatter_takes_a_function_of_key_and_value_that_returns_a_dict():
    event = Event("build", pair=(1, 2))
    event.set_formatter("pair", lambda key, value: {f"{key}_{index}": item for index, item in enumerate(value)})
    assert event.as_dict()["pair_0"] == 1
    assert event.as_dict()["pair_1"] == 2
    assert "pair" not in event.as_dict()


def test_attributes_are_stored_in_and_retrieved_from_the_data():
    event = Event("build")
    event.result = {"status": "passed"}
    assert event.result == {"status": "passed"}
    assert event.as_dict()["result"] == {"status": "passed"}
    with pytest.raises(AttributeError):
        _ = event.missing


def test_get_attachments_returns_path_and_sha1_by_name(log: Path):
    event = Event("build")
    event.attach_file(str(log))
    assert event.get_attachments() == {"log": (str(log), hashlib.sha1(log.read_bytes()).hexdigest())}


def test_attach_file_names_the_attachment_log_by_default_or_as_it_is_told(log: Path):
    event = Event("build")
    event.attach_file(str(log))
    event.attach_file(str(log), "build.log")
    event.attach_file(str(log), name="again.log")
    assert list(event.get_attachments()) == ["log", "build.log", "again.log"]


def test_when_the_event_is_submitted_its_file_is_attached(log: Path, tmp_path: Path):
    event = Event("build")
    event.attach_file(str(log))
    manager = EventManager()
    manager.add_handler("file", tmp_path / "sent")
    assert manager.send_event(event)
    (attached,) = (tmp_path / "sent").glob("*/log")
    assert attached.read_bytes() == log.read_bytes()


def test_once_closed_the_event_is_not_to_be_modified_and_contextlib_closing_closes_it():
    with contextlib.closing(Event("build")) as event:
        event.result = "passed"
    with pytest.raises(EventError):
        event.result = "failed"
    assert event.result == "passed"


def test_format_date_associates_the_original_key_with_a_date_that_people_can_read():
    event = Event("build")
    assert event.format_date("when", 0.0) == {"when": "1970-01-01T00:00:00+00:00"}
    assert event.format_date("when", "at noon") == {"when": "at noon"}


def test_as_dict_adds_each_value_by_default_and_updates_the_result_by_what_a_formatter_returns():
    event = Event("build", a=1, b=2)
    event.set_formatter("b", lambda key, value: {key: str(value), "a": "updated"})
    document = event.as_dict()
    assert (document["a"], document["b"]) == ("updated", "2")
    assert json.loads(json.dumps(document)) == document


def test_dump_writes_a_json_file_into_a_folder_and_returns_where_and_load_retrieves_it(
    log: Path, tmp_path: Path
):
    with Event("build", project="tea") as event:
        event.attach_file(str(log))
    path = event.dump(str(tmp_path))
    assert Path(path).parent == tmp_path
    assert path.endswith(".json")
    json.loads(Path(path).read_text())
    loaded = Event.load(path)
    assert isinstance(loaded, Event)
    assert loaded.as_dict() == event.as_dict()
    assert loaded.get_attachments() == event.get_attachments()
    assert (loaded.uid, loaded.begin_time, loaded.end_time) == (event.uid, event.begin_time, event.end_time)
    with pytest.raises(EventError):
        loaded.project = "coffee"


# --- EventHandler ----------------------------------------------------------------------------------------


def test_a_handler_implements_send_event_and_one_without_cannot_be_made():
    class Nothing(EventHandler):
        pass

    with pytest.raises(TypeError, match="send_event"):
        Nothing()  # type: ignore[abstract]


def test_decode_config_returns_keyword_arguments_for_the_handlers_init():
    cls = EventManager().get_handler("logging")
    assert cls(**cls.decode_config("builds?level=DEBUG")) == cls(logger_name="builds", level="DEBUG")


def test_the_default_encode_config_is_for_handlers_that_need_no_parameters():
    assert Keeper().encode_config() == ""
    assert Keeper.decode_config("") == {}


def test_an_encoded_configuration_does_not_contain_a_bar(tmp_path: Path):
    manager = EventManager()
    manager.add_handler("file", tmp_path / "a|b")
    assert "|" not in manager.handlers["file"].encode_config()


# --- EventError ------------------------------------------------------------------------------------------


def test_event_error_is_raised_for_errors_of_event_operations(tmp_path: Path):
    with pytest.raises(EventError):
        Event("build").attach_file(str(tmp_path / "missing"))
    with pytest.raises(EventError):
        Event.load(str(tmp_path / "missing"))


# --- EventManager ----------------------------------------------------------------------------------------


def test_send_event_uses_all_registered_handlers_and_is_true_if_all_succeeded():
    first, second, failing = Keeper(), Keeper(), Keeper(is_working=False)
    event = Event("build")
    assert manager_of(first, second).send_event(event) is True
    assert manager_of(failing, first).send_event(event) is False
    assert (len(first.events), len(second.events), len(failing.events)) == (2, 1, 1)


def test_send_event_from_file_sends_a_dumped_event(tmp_path: Path):
    keeper = Keeper()
    event = Event("build", project="tea")
    assert manager_of(keeper).send_event_from_file(event.dump(str(tmp_path))) is True
    assert keeper.events[0].as_dict() == event.as_dict()


def test_get_handler_returns_a_class_by_the_name_of_its_entry_point():
    for name in ("file", "logging", "s3", "smtp"):
        assert issubclass(EventManager().get_handler(name), EventHandler)


def test_add_handler_passes_its_arguments_to_the_init_of_the_handler():
    manager = EventManager()
    manager.add_handler("logging", "builds", level=logging.DEBUG)
    assert manager.handlers["logging"] == manager.get_handler("logging")("builds", logging.DEBUG)


def test_handlers_are_loaded_from_a_variable_of_the_documented_format(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("EVENTPUB_HANDLERS", f"file={tmp_path}|queue=v2|logging")
    manager = EventManager()
    manager.load_handlers_from_env()
    assert list(manager.handlers) == ["file", "queue", "logging"]
    monkeypatch.setenv(VARIABLE, "logging=builds")
    other = EventManager()
    other.load_handlers_from_env(VARIABLE)
    assert list(other.handlers) == ["logging"]


def test_handler_config_as_env_makes_the_variable_that_shares_a_configuration_among_processes(tmp_path: Path):
    manager = EventManager()
    manager.add_handler("file", tmp_path)
    manager.add_handler("logging")
    manager.handler_config_as_env()
    assert os.environ["EVENTPUB_HANDLERS"] == f"file={tmp_path}|logging"
    manager.handler_config_as_env(var_name=VARIABLE)
    assert os.environ[VARIABLE] == os.environ["EVENTPUB_HANDLERS"]
    other = EventManager()
    other.load_handlers_from_env()
    assert dict(other.handlers) == dict(manager.handlers)


# --- the default manager ---------------------------------------------------------------------------------


def test_the_functions_use_the_default_manager(tmp_path: Path):
    handlers.add_handler("file", tmp_path / "sent")
    event = Event("build")
    assert handlers.send_event(event) is True
    assert handlers.send_event_from_file(event.dump(tmp_path)) is True
    assert len(list((tmp_path / "sent").glob("*.json"))) == 2
    handlers.handler_config_as_env()
    handlers.handler_config_as_env(VARIABLE)
    handlers.load_handlers_from_env()
    handlers.load_handlers_from_env(var_name=VARIABLE)
    assert list(handlers.default_manager.handlers) == ["file"]


# --- the page of those who move over ---------------------------------------------------------------------


def test_every_line_of_the_page_that_imports_can_be_run():
    imports = re.findall(r"`((?:from|import) eventpub[^`]*)`", PAGE)
    assert len(imports) >= 3
    for line in imports:
        exec(line, {})


def test_the_programs_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue_name: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build.log").write_text("all is well\n")
    programs = read_blocks(PAGE, "python")
    assert len(programs) >= 3
    namespace: dict[str, Any] = {}
    with EventQueue[Any](queue_name, max_messages=10, max_message_size=1024):
        for program in programs:
            exec(program.replace('"v2"', repr(queue_name)), namespace)
    sent, emitted, again = take_messages(queue_name)
    assert sent == again == serialize_json_event(namespace["event"])
    assert json.loads(emitted)["data"] == {"project": "coffee"}
    assert len(list((tmp_path / "events").glob("build-*.json"))) == 4
    assert len(list((tmp_path / "events").glob("build-*/log"))) == 3


def test_what_the_page_says_differs_does(log: Path):
    event = Event("build")
    event.attach_file(log)
    with pytest.raises(EventError, match="give another name"):
        event.attach_file(log)
    event.close()
    with pytest.raises(EventError):
        event.set_formatter("x", lambda key, value: {key: value})
    with pytest.raises(HandlerError, match="installed:"):
        handlers.add_handler("pigeon")
    handlers.add_handler("logging")
    assert handlers.default_manager.handlers["logging"] == LoggingHandler("eventpub.events", logging.INFO)
    with pytest.raises(TypeError):
        handlers.default_manager.handlers["chat"] = Keeper()  # type: ignore[index]
    handlers.default_manager.register("chat", keeper := Keeper())
    with mock.patch.object(Keeper, "send_event") as patched:
        handlers.send_event(event)
    patched.assert_called_once_with(event)
    assert not keeper.events


def test_a_variable_that_is_not_set_lists_no_handlers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EVENTPUB_HANDLERS", raising=False)
    handlers.load_handlers_from_env()
    assert not handlers.default_manager.handlers
    assert eventpub.Event is Event
