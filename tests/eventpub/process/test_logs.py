"""Lines of the log, as text and as JSON."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.process.logs import JsonFormatter, TextFormatter, peek_format, split_record, write_line


def make_record(template: str, *args: object, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": template, "args": args, "levelname": "ERROR", "name": "shop", **more})


def read_json(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    read: dict[str, Any] = json.loads(line)
    return read


def test_facts_of_a_line_are_fields_with_their_types():
    record = make_record(
        "receiving is paused: %s queue=%s events=%d age_seconds=%.0f", "disk full", "v2", 3, 2.5
    )
    assert split_record(record) == (
        "receiving is paused: disk full",
        {"queue": "v2", "events": 3, "age_seconds": 2.5},
    )


@pytest.mark.parametrize(
    ("template", "args", "message"),
    [
        ("no facts, 100 %", (), "no facts, 100 %"),
        ("100 %% full file=%s", ("a",), "100 % full"),
        ("wrong template %d", ("a",), None),
        ("%(by)s name", ({"by": "by"},), "by name"),
        ("field key=%s id=%s; do something", ("a", "b"), "field; do something"),
    ],
)
def test_templates_of_every_sort_are_a_line(template, args, message):
    record = make_record(template, *args)
    record.args = args[0] if args and isinstance(args[0], dict) else args
    if message is not None:
        assert split_record(record)[0] == message


def test_a_line_of_json_says_when_how_bad_where_and_what():
    read = read_json(make_record("stopped events=%d", 3, created=1e9))
    assert read == {
        "time": "2001-09-09T01:46:40.000+00:00",
        "level": "error",
        "logger": "shop",
        "message": "stopped",
        "fields": {"events": 3},
    }
    assert datetime.fromisoformat(read["time"]).tzinfo == timezone.utc


def test_an_exception_is_one_field_of_one_line():
    error = ValueError("at http://shop:hunter2@proxy:1")
    read = read_json(make_record("it broke", exc_info=(ValueError, error, None)))
    assert read["exception"] == "ValueError: at http://...@proxy:1"


class Keeper(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


TEXTS = st.text() | st.sampled_from(["a\nb", "\x1b[31m", "\u2028", "http://u:hunter2@h", "%s", 'a"b', "\udcff"])


@given(
    sentence=TEXTS, facts=st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), TEXTS | st.integers())
)
def test_whatever_is_written_is_one_printable_line_in_both_forms(sentence: str, facts: dict[str, object]):
    log = logging.getLogger("tests.eventpub.process.test_logs")
    log.propagate = False
    keeper = Keeper()
    log.addHandler(keeper)
    try:
        write_line(log, logging.ERROR, sentence, facts)
    finally:
        log.removeHandler(keeper)
    (record,) = keeper.records
    read = read_json(record)
    assert read["fields"].keys() == facts.keys()
    assert {name: value for name, value in read["fields"].items() if isinstance(value, int)} == {
        name: value for name, value in facts.items() if isinstance(value, int)
    }
    lines = (TextFormatter("%(message)s").format(record), JsonFormatter().format(record))
    for line in lines:
        assert not any(ord(character) < 0x20 and character != "\t" for character in line)
        assert "hunter2" not in line
        line.encode()


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("[a]\nlog.format = json\nnonsense = 1\n", "json"),
        ("[a]\nlog.format = JSON\n", "json"),
        ("[a]\nlog.format =\n", "text"),
        ("[a]\nlog.format = ${NO_SUCH_VARIABLE}\n", "text"),
        ("[a]\nlog.format = yaml\n", "text"),
        ("[b]\n", "text"),
        ("garbage", "text"),
        (None, "text"),
    ],
)
def test_the_form_of_a_file_with_mistakes_is_found_or_is_text(tmp_path: Path, content: str | None, form: str):
    path = tmp_path / "any.ini"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert peek_format(path, "a") == form


PROGRAM = """
import logging, sys, warnings
import gevent
from eventpub.process.logs import add_context, configure_logs

configure_logs("text", "info")
configure_logs("json", "info")
add_context(queue="v2", slot="0")
def fail():
    raise OSError("in a greenlet")
logging.getLogger("x").debug("not this")
logging.getLogger("x").warning("batch was kept batch=%s", "7")
gevent.spawn(fail).join()
warnings.warn("old")
configure_logs("json", "debug")
logging.getLogger("x").debug("but this")
raise KeyError("at the end")
"""


def test_all_that_a_program_writes_is_json_also_when_it_breaks():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )
    read = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in read] == ["warning", "error", "warning", "debug", "critical"]
    assert read[0]["fields"] == {"batch": "7", "queue": "v2", "slot": "0"}
    assert [line["exception"].splitlines()[-1] for line in (read[1], read[4])] == [
        "OSError: in a greenlet",
        "KeyError: 'at the end'",
    ]
