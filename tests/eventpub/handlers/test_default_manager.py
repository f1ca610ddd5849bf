"""The functions of `eventpub.handlers`, and what they cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eventpub import Event, handlers
from eventpub.handlers.to_file import FileHandler


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
