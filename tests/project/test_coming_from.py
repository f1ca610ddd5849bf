"""The pages about EvProc, baseplate and testing: what they show works."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from importlib import import_module
from pathlib import Path

import pytest
from support.pages import read_blocks
from support.paths import ROOT
from support.processes import run_pytest
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.transport.TTransport import TMemoryBuffer

from eventpub import EventSerializationError, processing, serialize_v2_event
from eventpub.schemas.event.ttypes import Event
from eventpub.sidecar.config import load_config
from eventpub.testing import MemoryQueue, capture_events

DOCS = ROOT / "docs"
EVPROC, BASEPLATE, TESTING = (
    (DOCS / name).read_text(encoding="utf-8")
    for name in ("coming-from-evproc.md", "coming-from-baseplate.md", "testing.md")
)


def test_programs_of_the_evproc_page_run_and_print_what_they_say():
    printed = io.StringIO()
    with capture_events() as captured, contextlib.redirect_stdout(printed):
        for block in read_blocks(EVPROC, "python"):
            exec(compile(block, "coming-from-evproc.md", "exec"), {})
    assert printed.getvalue() == "119.00\n"
    assert captured.events == [{"name": "order", "amount": 100}]


def test_names_of_the_evproc_page_exist():
    named = set(re.findall(r"`(?:@|raise |except )?processing\.(\w+)", EVPROC))
    named |= set(re.findall(r"`(\w+Error)`", EVPROC)) - {"EventPubError"}
    assert len(named) > 8
    assert named - {"EventPubError", "TypeError"} <= set(processing.__all__)


def test_the_applications_lines_of_the_baseplate_page_import_what_there_is():
    rows = re.findall(r"`from (baseplate\.\S+|eventpub) import ([\w, ]+)`", BASEPLATE)
    theirs = [names for module, names in rows if module != "eventpub"]
    ours = [names for module, names in rows if module == "eventpub"]
    assert theirs == ours
    assert len(ours) == 3
    for names in ours:
        assert set(names.split(", ")) <= set(import_module("eventpub").__all__)


def test_the_handler_of_the_baseplate_page_says_what_went_wrong(capsys: pytest.CaptureFixture[str]):
    (program,) = read_blocks(BASEPLATE, "python")
    namespace: dict[str, object] = {}
    exec(compile(program, "coming-from-baseplate.md", "exec"), namespace)

    class Context:
        events_v2: MemoryQueue[Event] = MemoryQueue(max_message_size=128)

    namespace["record"](Context, Event(source="shop", action="buy", noun="tea"))
    assert len(Context.events_v2.events) == 1
    namespace["record"](Context, Event(source="shop", action="buy", noun="x" * 200))
    namespace["record"](Context, Event(source=1, action="buy", noun="tea"))
    Context.events_v2.full = True
    namespace["record"](Context, Event(source="shop", action="buy", noun="tea"))
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[2]] == ["253 bytes are more than 128", "is the sidecar running?"]
    assert "source is of type int: expected text" in lines[1]


def test_the_file_of_the_baseplate_page_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (text,) = read_blocks(BASEPLATE, "ini")
    path = tmp_path / "publisher.ini"
    path.write_text(text)
    monkeypatch.setenv("EVENTPUB_KEY", "aHVudGVyMg==")
    assert load_config(path, "v2").collector_hostname == "collector.example.com"


def test_the_tests_of_the_testing_page_pass(tmp_path: Path):
    shown = read_blocks(TESTING, "python")
    count = sum(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for node in ast.parse("".join(shown)).body
    )
    (tmp_path / "test_page.py").write_text("\n".join(shown))
    done = run_pytest(tmp_path / "test_page.py")
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr
    assert count == 10


def test_the_page_says_that_a_struct_which_thrift_writes_without_a_required_field_is_refused():
    lacking = Event(source="shop", action="buy")
    transport = TMemoryBuffer()
    lacking.write(TJSONProtocol(transport))
    assert b"buy" in transport.getvalue()
    with pytest.raises(EventSerializationError, match="noun"):
        serialize_v2_event(lacking)
    rows = [row for row in BASEPLATE.splitlines() if row.startswith("|") and "without a required field" in row]
    assert len(rows) == 1
    assert "EventSerializationError" in rows[0]
