"""Events into files and into the log: `eventpub/handlers/to_file.py` and `to_log.py`."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from eventpub import Event, EventSerializationError
from eventpub.cli.by_name import build_event
from eventpub.errors import AttachmentError
from eventpub.handlers.to_file import FileHandler
from eventpub.handlers.to_log import LoggingHandler
from eventpub.schemas.event.ttypes import Event as V2Event
from eventpub.schemas.event.ttypes import Experiment, User
from eventpub.serialization.unwritable import strict_values

STRUCT = V2Event(
    source="shop",
    action="buy",
    noun="tea",
    user=User(id="u"),
    experiments=[Experiment(name="x", is_override=False)],
)


@pytest.fixture
def event(tmp_path: Path) -> Event:
    event = Event("shop.build/../done", uid="u1", project="tea", begin_time=0.0)
    for name in ("log", "report.bin"):
        path = tmp_path / "made" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(100_000) if name == "report.bin" else b"hello")
        event.attach_file(path, name=name)
    return event


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- files -----------------------------------------------------------------------------------------------


def test_an_event_becomes_a_file_with_its_attachments_beside_it(event: Event, tmp_path: Path):
    folder = tmp_path / "made" / "by the handler"
    assert FileHandler(folder).send_event(event) is True
    (path,) = folder.glob("*.json")
    assert path.name.startswith("shop.build_.._done-")
    assert json.loads(path.read_bytes()) == event.as_dict()
    assert files_in(folder) == sorted([path.name, f"{path.stem}/log", f"{path.stem}/report.bin"])
    for name, (source, _) in event.get_attachments().items():
        assert (folder / path.stem / name).read_bytes() == Path(source).read_bytes()


def test_an_event_sent_twice_is_two_files(event: Event, tmp_path: Path):
    handler = FileHandler(tmp_path / "sent")
    assert handler.send_event(event)
    assert handler.send_event(event)
    assert len(list((tmp_path / "sent").glob("*.json"))) == 2


@pytest.mark.parametrize("sent", [{"name": "build", "n": 1}, STRUCT])
def test_mappings_and_structs_become_files_of_names(sent: Any, tmp_path: Path):
    FileHandler(tmp_path / "sent").send_event(sent)
    (path,) = (tmp_path / "sent").iterdir()
    document = json.loads(path.read_bytes())
    assert document == sent if isinstance(sent, dict) else build_event(V2Event, document) == sent


def test_an_event_that_cannot_be_sent_as_a_whole_leaves_nothing(event: Event, tmp_path: Path):
    handler = FileHandler(tmp_path / "sent")
    Path(event.get_attachments()["report.bin"][0]).unlink()
    with pytest.raises(AttachmentError, match="removed before the event was sent"):
        handler.send_event(event)
    event.bad = object()
    with strict_values(), pytest.raises(EventSerializationError):
        handler.send_event(event)
    assert list((tmp_path / "sent").iterdir()) == []


def test_a_folder_that_cannot_be_used_is_an_error_and_leaves_nothing(event: Event, tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        FileHandler(tmp_path / "taken").send_event(event)
    assert (tmp_path / "taken").read_text() == ""


# --- the log ---------------------------------------------------------------------------------------------


def test_an_event_becomes_a_line_of_the_log(event: Event, caplog: pytest.LogCaptureFixture):
    digest = event.get_attachments()["report.bin"][1]
    with caplog.at_level(logging.DEBUG):
        assert LoggingHandler().send_event(event) is True
        assert LoggingHandler("teas", level="debug").send_event({"name": "build", "n": 1}) is True
        assert LoggingHandler("teas", logging.WARNING).send_event(STRUCT) is True
    ours, debug, warning = caplog.records
    assert (ours.name, ours.levelname) == ("eventpub.events", "INFO")
    assert ours.message.startswith('shop.build/../done {"name":"shop.build/../done","uid":"u1",')
    assert ours.message.endswith(
        f' attachments: {{"log": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "report.bin": "{digest}"}}'
    )
    assert (debug.name, debug.levelname, debug.message) == ("teas", "DEBUG", 'build {"name":"build","n":1}')
    assert warning.levelname == "WARNING"
    assert '"user":{"id":"u"},"experiments":[{"name":"x","is_override":false}]' in warning.message
