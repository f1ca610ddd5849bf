"""What others wrote, as terminals and logs are told."""

from __future__ import annotations

import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from eventpub.printable import PrintableFormatter, escape_controls, hide_userinfo

RAW = "\x1b]0;title\x07 \x7f \x9b31m \r \u202e \udcff"


def test_no_control_character_is_left_but_tab_and_newline():
    assert escape_controls(RAW + "\t\n") == (
        "\\u001b]0;title\\u0007 \\u007f \\u009b31m \\u000d \\u202e \\udcff\t\n"
    )
    assert escape_controls("Käse 🍵 \u4e2d") == "Käse 🍵 \u4e2d"


@given(st.dictionaries(st.text(), st.text()))
def test_json_means_the_same_afterwards(document: dict[str, str]):
    shown = escape_controls(json.dumps(document, ensure_ascii=False))
    assert json.loads(shown) == document
    assert not any(0x7F <= ord(character) < 0xA0 or ord(character) < 0x20 for character in shown)


@given(st.text())
def test_any_text_can_be_written_as_utf_8_afterwards(text: str):
    assert escape_controls(text).encode("utf-8") is not None


def test_users_and_passwords_of_urls_are_hidden_also_in_malformed_ones():
    for url in ("http://u:hunter2@proxy:99999", "http://u:hun/hunter2@proxy:1", "http://u:h#hunter2@proxy:1"):
        port = url.rpartition(":")[2]
        assert hide_userinfo(f"the proxy {url} failed") == f"the proxy http://...@proxy:{port} failed"
    assert hide_userinfo("name = shop:hunter2@proxy:1") == "name = ...@proxy:1"
    assert hide_userinfo("mail to a@b.example at 12:30") == "mail to a@b.example at 12:30"


def test_a_log_line_is_one_printable_line():
    record = logging.makeLogRecord({"msg": "of %s", "args": ("a\nfake line\x1b[2J http://u:hunter2@h",)})
    assert PrintableFormatter("%(message)s").format(record) == "of a\\nfake line\\u001b[2J http://...@h"
