"""INI text -> settings, and everything that can be wrong with it."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.descriptors import no_descriptor_left

from eventpub.errors import ConfigError, NotYetError
from eventpub.settings import ini


@dataclasses.dataclass(frozen=True)
class Settings:
    name: str = ini.setting("name", ini.text())
    port: int = ini.setting("port", ini.integer(1, 100), default=7)
    secret: bytes = ini.setting("secret", ini.base64_bytes(), default=b"", secret=True)


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "x.ini"
    path.write_text(text)
    return ini.read_section(ini.load_file(path), "s", Settings)


def test_keys_become_fields_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    assert read(tmp_path, "[s]\nname = a\n") == Settings("a", 7, b"")


def test_empty_value_means_the_default(tmp_path: Path) -> None:
    assert read(tmp_path, "[s]\nname = a\nport =\n").port == 7


def test_variables_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTPUB_TEST_NAME", "from outside")
    assert read(tmp_path, "[s]\nname = ${EVENTPUB_TEST_NAME}, $EVENTPUB_TEST_NAME\n").name == (
        "from outside, from outside"
    )


def test_lone_dollar_means_itself(tmp_path: Path) -> None:
    assert read(tmp_path, "[s]\nname = costs $5 in $nowhere_set\n").name == "costs $5 in $nowhere_set"


def test_keys_of_a_default_section_apply_where_known_and_do_not_disturb_elsewhere(tmp_path: Path) -> None:
    assert read(tmp_path, "[DEFAULT]\nport = 9\nother = x\n[s]\nname = a\n") == Settings("a", 9)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[other]\n", r"\[s\]: no such section in the file \(sections: \[other\]\)"),
        ("[s]\n", r"\[s\] name: is missing; expected a text"),
        ("[s]\nname = \n", r"\[s\] name: expected a text"),
        ("[s]\nname = a\nprot = 1\n", r"\[s\] prot: unknown key; did you mean port\?"),
        ("[s]\nname = a\nport = 101\n", r"\[s\] port = 101: expected a whole number from 1 to 100"),
        ("[s]\nname = a\nport = x\n", r"\[s\] port = x: expected a whole number"),
        ("[s]\nname = a\nname = b\n", r"\[s\] name: appears twice \(again in line 3\)"),
        ("[s]\nname = a\n[s]\n", r"\[s\]: the section appears twice \(again in line 3\)"),
        ("name = a\n", r"line 1 comes before any \[section\]"),
        ("[s]\nname\n", r"line 2 is neither"),
        ("[s]\nname = ${EVENTPUB_NOT_SET}\n", r"the environment variable EVENTPUB_NOT_SET is not set"),
    ],
)
def test_mistake_is_named_with_section_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read(tmp_path, text)


def test_secret_is_in_no_error_and_no_repr(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "[s]\nname = a\nsecret = not*base64\n")
    assert "not*base64" not in str(caught.value) + repr(caught.value)
    assert "hunter2" not in repr(read(tmp_path, "[s]\nname = a\nsecret = aHVudGVyMg==\n"))


def test_unreadable_files_are_errors_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        ini.load_file(tmp_path / "none.ini")
    (tmp_path / "latin.ini").write_bytes(b"[s]\nname = \xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        ini.load_file(tmp_path / "latin.ini")
    with pytest.raises(ConfigError, match="more than"):
        ini.load_file("/dev/zero")


def test_a_file_that_cannot_be_opened_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """A supervisor starts a sidecar that ends with 75 again, and one that ends with 78 not."""
    (tmp_path / "x.ini").write_text("[s]\n")
    with no_descriptor_left(), pytest.raises(NotYetError, match="Too many open files"):
        ini.load_file(tmp_path / "x.ini")
    ini.load_file(tmp_path / "x.ini")


@given(st.binary(max_size=200))
def test_no_file_makes_the_reader_raise_anything_but_config_error(tmp_path_factory: object, raw: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    path = folder / "fuzz.ini"
    path.write_bytes(b"[s]\nname = a\n" + raw)
    with contextlib.suppress(ConfigError):
        ini.read_section(ini.load_file(path), "s", Settings)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "of-an-editor.ini"
    path.write_bytes("\N{BOM}[a]\nb = c\n".encode())
    assert ini.section_items(ini.load_file(path), "a") == {"b": "c"}


SECRET = "aHVudGVyMmh1bnRlcjI="


@pytest.mark.parametrize(
    "text",
    [
        f"[s]\nname = a\n  secret = {SECRET}\n",
        f"[s]\nport =\n\n\tsecret = {SECRET}\nname = a\n",
        f"[s]\nname = a\n  [keys]\n  shop = {SECRET}\n",
        f"[DEFAULT]\nport = 7\n  secret = {SECRET}\n[s]\nname = a\n",
        f"[s]\nname = a\n{SECRET}\n",  # a secret in two lines, the second of which looks like a key
        f"[s]\nname = a\n{SECRET}\n{SECRET}\n",
        f"[s]\nname = a\nsecret {SECRET}\n",  # what stands before its equals sign is a key
        "[s]\nname = a\naHVudGVyMmh1bn=\n",
        f"[s]\nname = a\nsecret:{SECRET}\nsecret:{SECRET}\n",
    ],
)
def test_a_secret_on_a_line_that_belongs_to_another_key_is_in_no_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert SECRET[:14].lower() not in (str(caught.value) + repr(caught.value)).lower()


def test_an_indented_line_is_refused_with_the_key_that_it_would_belong_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[s\] name: goes on in an indented line; begin each"):
        read(tmp_path, "[s]\nname = a\n  port = 8\n")


def test_other_programs_may_have_values_of_several_lines(tmp_path: Path) -> None:
    foreign = "[other]\nlist =\n  a\n  b\n"
    assert read(tmp_path, f"[DEFAULT]\nlong = a\n  b\n[s]\nname = a\n{foreign}") == Settings("a")


def test_of_a_value_with_several_lines_an_error_shows_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTPUB_TEST_PORT", f"x\n{SECRET}")
    with pytest.raises(ConfigError, match=r"port = x: expected") as caught:
        read(tmp_path, "[s]\nname = a\nport = ${EVENTPUB_TEST_PORT}\n")
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "value",
    ["https://shop:hunter2@host", "shop:hunter2@host", "http://shop:hun/ter2#@host:99999", "//:hunter2@h"],
)
def test_user_and_password_of_an_address_are_in_no_error(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"\.\.\.@h") as caught:
        read(tmp_path, f"[s]\nname = a\nport = {value}\n")
    assert not {"hunter2", "ter2"} & set(re.split(r"\W", str(caught.value)))
