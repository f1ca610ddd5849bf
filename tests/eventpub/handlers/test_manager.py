"""Managers, and how handlers are found, configured and told to other processes: `eventpub/handlers/`."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub import Event, EventQueue, handlers
from eventpub.errors import EventFileError, HandlerError
from eventpub.handlers import ConfiguredHandler, EventHandler, EventManager, environment
from eventpub.handlers.to_file import FileHandler
from eventpub.handlers.to_http import HttpHandler
from eventpub.handlers.to_log import LoggingHandler
from eventpub.handlers.to_queue import QueueHandler
from eventpub.handlers.to_s3 import S3Handler
from eventpub.handlers.to_smtp import SmtpHandler
from eventpub.pipeline import Backend
from eventpub.settings import ini

VARIABLE = "EVENTPUB_TEST_HANDLERS"
OURS = {
    "file": FileHandler,
    "http": HttpHandler,
    "logging": LoggingHandler,
    "queue": QueueHandler,
    "s3": S3Handler,
    "smtp": SmtpHandler,
}


class Answers(EventHandler):
    """Keeps what it is sent, and answers as it is told."""

    def __init__(self, answer: Any = True) -> None:  # noqa: FBT002
        self.answer = answer
        self.events: list[Any] = []

    def send_event(self, event: Any) -> bool:
        self.events.append(event)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def no_variable_stays():
    yield
    os.environ.pop(VARIABLE, None)


@pytest.fixture
def manager() -> EventManager:
    return EventManager()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Returns a function that installs a package with entry points, and a module that it may lead to."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def installed(package: str, points: dict[str, str], source: str = "") -> None:
        (site / f"{package}.py").write_text(source)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[eventpub.handlers]", *lines]))

    return installed


# --- sending ---------------------------------------------------------------------------------------------


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


# --- finding ---------------------------------------------------------------------------------------------


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


# --- configurations --------------------------------------------------------------------------------------

NAMES = st.text(
    st.characters(exclude_characters="=|\0", exclude_categories=["Cs"]), min_size=1, max_size=10
).filter(lambda name: name == name.strip())
VALUES = st.text(st.characters(exclude_characters="|\0", exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_any_configurations_come_back_from_a_variable_in_their_order(configurations: dict[str, str]):
    os.environ[VARIABLE] = environment.encode_handlers(configurations)
    decoded = environment.decode_handlers(os.environ[VARIABLE])
    assert list(decoded.items()) == list(configurations.items())


def test_a_variable_has_the_documented_form():
    assert environment.encode_handlers({"a": "some_value", "b": "x=y", "c": ""}) == "a=some_value|b=x=y|c"
    assert environment.decode_handlers(" a=some_value| b =x=y|c|| ") == {"a": "some_value", "b": "x=y", "c": ""}
    assert environment.decode_handlers("") == environment.decode_handlers("|") == {}


@pytest.mark.parametrize(
    "configurations", [{"a": "x|y"}, {"a": "\0"}, {"a|b": ""}, {"a=b": ""}, {"": "x"}, {" a": ""}]
)
def test_what_the_form_cannot_hold_is_refused(configurations: dict[str, str]):
    with pytest.raises(HandlerError):
        environment.encode_handlers(configurations)


@pytest.mark.parametrize(
    ("text", "reason"), [("a=1|a=2", "twice"), ("=1", "name is missing"), (" =|", "name is missing")]
)
def test_a_text_that_is_not_of_the_form_is_refused(text: str, reason: str):
    with pytest.raises(HandlerError, match=reason):
        environment.decode_handlers(text)


def test_a_bar_in_what_a_foreign_handler_returns_is_refused_by_its_name(manager: EventManager):
    class Careless(Answers):
        def encode_config(self) -> str:
            return "a|b"

    manager.register("careless", Careless())
    with pytest.raises(HandlerError, match=r"'careless': .*escape"):
        manager.handler_config_as_env(VARIABLE)


def test_all_of_ours_come_back_in_another_process(
    manager: EventManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("EVENTPUB_HANDLERS", "")
    manager.add_handler("file", tmp_path / "a|b?c=d&e%f ä")
    manager.add_handler("logging", level="DEBUG")
    manager.add_handler("queue", "v2", timeout_seconds=0.1)
    manager.add_handler("http", "127.0.0.1:8080", key_name="shop", secret_variable="SHOP_KEY", signature="both")
    manager.add_handler("s3", "events", prefix="ci & more/", endpoint_url="http://127.0.0.1:9000/?a=b")
    manager.add_handler(
        "smtp", "mail.example.com:25", sender="ci@example.com", recipients=["a@example.com", "b@example.com"],
        tls="none", subject="50% = half|",
    )  # fmt: skip
    manager.handler_config_as_env()
    assert os.environ["EVENTPUB_HANDLERS"].count("|") == len(OURS) - 1
    program = (
        "from eventpub import handlers; handlers.load_handlers_from_env();"
        "print(dict(handlers.default_manager.handlers))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == repr(dict(manager.handlers))


def test_a_relative_path_means_the_same_in_a_process_with_another_folder(
    manager: EventManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    manager.add_handler("file", b"sent")
    manager.add_handler("http", "127.0.0.1", key_name="shop", secret_file="key", ca_file="ca.pem")
    manager.handler_config_as_env(VARIABLE)
    monkeypatch.chdir(tmp_path / "other")
    other = EventManager()
    other.load_handlers_from_env(VARIABLE)
    assert dict(other.handlers) == dict(manager.handlers)
    assert other.send_event_from_file(Event("build").dump(tmp_path)) is False  # http has no collector
    assert len(list((tmp_path / "sent").glob("build-*.json"))) == 1
    http: Any = other.handlers["http"]
    assert (http.secret_file, http.ca_file) == (tmp_path / "key", tmp_path / "ca.pem")


def test_a_missing_variable_and_an_empty_one_list_no_handlers(
    manager: EventManager, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("EVENTPUB_HANDLERS", raising=False)
    manager.load_handlers_from_env()
    manager.handler_config_as_env()
    assert os.environ["EVENTPUB_HANDLERS"] == ""
    manager.load_handlers_from_env()
    assert dict(manager.handlers) == {}


def test_a_variable_that_cannot_be_read_is_an_error_with_the_name_of_the_handler(
    manager: EventManager, install: Any, monkeypatch: pytest.MonkeyPatch
):
    source = """
from eventpub.handlers import EventHandler
class Picky(EventHandler):
    def __init__(self, room):
        raise LookupError(f"no room {room}")
    def send_event(self, event):
        return True
    @classmethod
    def decode_config(cls, config_str):
        return {"room": int(config_str)}
"""
    install("picky_of_a_test", {"picky": "picky_of_a_test:Picky"}, source)
    for variable, reason in (
        ("picky=tea", r"'picky': .*'tea': ValueError: invalid literal"),
        ("picky=5", r"'picky': .*'5': LookupError: no room 5"),
        ("queue=v2?versoin=2", r"'queue': .*unknown setting 'versoin'; did you mean version\?"),
    ):
        monkeypatch.setenv(VARIABLE, variable)
        with pytest.raises(HandlerError, match=reason):
            manager.load_handlers_from_env(VARIABLE)


def test_one_bad_handler_in_a_variable_adds_none(manager: EventManager, monkeypatch: pytest.MonkeyPatch):
    for bad in ("nothing", "logging=?level=loud", "smtp=localhost", "file"):
        monkeypatch.setenv("EVENTPUB_HANDLERS", f"queue=v2|{bad}")
        with pytest.raises(HandlerError):
            manager.load_handlers_from_env()
        assert dict(manager.handlers) == {}


@dataclass(frozen=True)
class Sample(ConfiguredHandler):
    first: str = ini.setting("first", ini.text("a text", r"(?s).*"), default="first")
    second: str = ini.setting("second", ini.text("a text", r"(?s).*"), default="second")
    number: float = ini.setting("number", ini.seconds(0, 1e9), default=1.0)
    is_on: bool = ini.setting("is_on", ini.boolean(), default=False)

    def send_event(self, event: Any) -> bool:  # noqa: ARG002
        return True


@given(
    st.text(st.characters(exclude_categories=[])).filter(str.strip) | st.just("first"),
    st.text(),
    st.integers(0, 10**9) | st.floats(0.001, 1e9),
    st.booleans(),
)
def test_any_fields_come_back_from_their_text(first: str, second: str, number: float, is_on: bool):  # noqa: FBT001
    try:
        os.fsencode(first)
    except UnicodeEncodeError:  # no variable of the environment holds it
        first = "first"
    handler = Sample(first, second, number, is_on)
    text = handler.encode_config()
    assert "|" not in text
    assert Sample(**Sample.decode_config(text)) == handler


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "a?secnd=b",
            r"unknown setting 'secnd'; did you mean second\? \(known: first, second, number, is_on\)",
        ),
        ("a?second", "'second': expected key=value"),
        ("a?second=b&second=c", "each key once"),
        ("a?first=b", "each key once"),
    ],
)
def test_a_text_that_is_no_configuration_is_refused(text: str, reason: str):
    with pytest.raises(HandlerError, match=reason):
        Sample.decode_config(text)


def test_a_field_out_of_range_is_refused_however_it_is_given():
    with pytest.raises(HandlerError, match="number is '-1': expected seconds"):
        Sample(number=-1)
    with pytest.raises(HandlerError, match="number is 'x': expected seconds"):
        Sample(**Sample.decode_config("a?number=x"))
    with pytest.raises(HandlerError, match="name is 'a/b': expected letters"):
        QueueHandler("a/b")
    with pytest.raises(HandlerError, match="folder is missing"):
        FileHandler.decode_config("")


def test_errors_of_handlers_pickle():
    error = HandlerError("smtp", "why")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "event handler 'smtp': why"


# --- the process's own manager ---------------------------------------------------------------------------


def test_the_functions_are_those_of_the_default_manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(handlers.default_manager, "_handlers", {})
    monkeypatch.setenv("EVENTPUB_HANDLERS", "")
    handlers.add_handler("file", tmp_path / "sent")
    event = Event("build")
    assert handlers.send_event(event) is True
    assert handlers.send_event_from_file(event.dump(tmp_path)) is True
    assert len(list((tmp_path / "sent").glob("build-*.json"))) == 2
    handlers.handler_config_as_env()
    handlers.load_handlers_from_env()
    assert dict(handlers.default_manager.handlers) == {"file": FileHandler(tmp_path / "sent")}
    assert handlers.get_handler("file") is FileHandler
    assert repr(handlers.default_manager) == "<EventManager: file>"


def test_a_handler_that_is_not_used_loads_nothing():
    program = (
        "import sys; import eventpub.handlers;"
        "print(*{'requests', 'boto3', 'smtplib', 'thrift', 'ssl'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "\n"


# --- queue -----------------------------------------------------------------------------------------------


def test_events_go_on_a_queue_in_the_form_its_sidecar_takes(queue_name: str, manager: EventManager):
    taker = EventQueue[Any](queue_name, max_messages=10, max_message_size=1024)
    manager.add_handler("queue", queue_name, version="2j")
    assert manager.send_event({"name": "build"}) is True
    manager.add_handler("queue", queue_name)
    assert manager.send_event(Event("shop.order.placed", uid="u1", begin_time=1.0)) is True
    assert taker._queue.receive() == b'{"name":"build"}'
    assert taker._queue.receive() == (
        b'{"1":{"str":"shop"},"2":{"str":"placed"},"3":{"str":"order"},"4":{"i64":1000},"5":{"str":"u1"}}'
    )
    taker.close()


def test_a_full_queue_is_a_failure_like_any_other(
    queue_name: str, manager: EventManager, caplog: pytest.LogCaptureFixture
):
    EventQueue[Any](queue_name, max_messages=1, max_message_size=1024).close()
    manager.add_handler("queue", queue_name)
    assert [manager.send_event({"name": "build"}) for _ in range(2)] == [True, False]
    assert "is full" in caplog.text
