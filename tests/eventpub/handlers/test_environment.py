"""Handlers told to other processes, in a variable of the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.handlers import OURS, VARIABLE, Answers

from eventpub import Event
from eventpub.errors import HandlerError
from eventpub.handlers import EventManager, environment

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
