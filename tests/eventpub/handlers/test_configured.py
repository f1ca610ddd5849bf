"""Handlers whose arguments are the fields of a dataclass."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.errors import HandlerError
from eventpub.handlers import ConfiguredHandler
from eventpub.handlers.to_file import FileHandler
from eventpub.handlers.to_queue import QueueHandler
from eventpub.settings import ini


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
