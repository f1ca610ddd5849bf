"""`eventpub spool export`."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from support.commands import EVENTS, Command, Done, SpoolFolder, damage
from support.sidecar_process import SidecarProcess


def test_export_writes_each_event_as_it_came(eventpub: Command, spool: SpoolFolder) -> None:
    odd = ['{"ä": 1.50e400}'.encode(), b'{"n":\n 7}']
    spool.batch(2, odd)
    spool.batch(1, EVENTS)
    spool.batch(3, [b'{"n":9}'], suffix=".open")
    spool.batch(1, [b'{"slot":1}'], slot=1)
    before = spool.files()
    done = eventpub("spool", "export", "--spool", spool.directory)
    lines = [*EVENTS, odd[0], b'{"n":  7}', b'{"n":9}', b'{"slot":1}']
    assert done == Done(
        0, "".join(f"{line.decode()}\n" for line in lines), "eventpub: wrote 9 events of 4 files\n"
    )
    assert spool.files() == before


def test_export_writes_what_is_no_json_as_base64(eventpub: Command, spool: SpoolFolder) -> None:
    spool.batch(1, [b"\xff\xfe", b"garbage", b""])
    out = eventpub("spool", "export", "--spool", spool.directory).out
    assert [base64.b64decode(json.loads(line)["event_base64"]) for line in out.splitlines()] == [
        b"\xff\xfe", b"garbage", b"",
    ]  # fmt: skip


def test_export_takes_whole_records_out_of_damaged_files(eventpub: Command, spool: SpoolFolder) -> None:
    damage(spool.batch(1, EVENTS), EVENTS[2])
    done = eventpub("spool", "export", "--spool", spool.directory)
    assert done.code == 1
    assert done.out.encode().split() == [*EVENTS[:2], *EVENTS[3:]]
    assert "is damaged; wrote its intact records: 4" in done.err


def test_export_of_copies_is_asked_for(eventpub: Command, spool: SpoolFolder) -> None:
    copy = spool.batch(1, EVENTS)
    copy.rename(spool.damaged / "17-0-000000000001.5.batch")
    assert eventpub("spool", "export", "--spool", spool.directory).out == ""
    assert eventpub("spool", "export", "--spool", spool.directory, "--damaged").out.encode().split() == EVENTS


def test_export_writes_a_split_batch_once(eventpub: Command, spool: SpoolFolder) -> None:
    spool.batch(1, EVENTS)
    split = spool.slot(0) / "000000000001.split"
    split.mkdir(0o700)
    spool.batch(2, EVENTS[:2]).rename(split / "000000000002.2.batch")
    spool.batch(3, EVENTS[2:]).rename(split / "000000000003.3.batch")
    assert eventpub("spool", "export", "--spool", spool.directory).out.encode().split() == EVENTS


def test_export_goes_to_a_new_private_file(eventpub: Command, spool: SpoolFolder, tmp_path: Path) -> None:
    spool.batch(1, EVENTS)
    words = ("spool", "export", "--spool", spool.directory, "--output", tmp_path / "events.jsonl")
    assert eventpub(*words).code == 0
    assert (tmp_path / "events.jsonl").read_bytes().split() == EVENTS
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o600
    again = eventpub(*words)
    assert again.code == 2
    assert "exists already" in again.err


def test_export_beside_a_running_sidecar(eventpub: Command, sidecar: SidecarProcess) -> None:
    done = eventpub("spool", "export", "--spool", sidecar.spool)
    assert done.out.encode().split() == EVENTS[:3]


def test_control_characters_of_events_do_not_reach_the_terminal_and_the_json_is_the_same(
    eventpub: Command, spool: SpoolFolder
) -> None:
    event = {"n": "\x7f\x9b31m \u202e ä"}
    spool.batch(1, [json.dumps(event, ensure_ascii=False).encode()])
    out = eventpub("spool", "export", "--spool", spool.directory).out
    assert out == '{"n": "\\u007f\\u009b31m \\u202e ä"}\n'
    assert json.loads(out) == event


def test_a_file_gets_events_as_they_came(eventpub: Command, spool: SpoolFolder, tmp_path: Path) -> None:
    event = '{"n": "\x7f\x9b31m"}'.encode()
    spool.batch(1, [event])
    assert eventpub("spool", "export", "--spool", spool.directory, "--output", tmp_path / "out").code == 0
    assert (tmp_path / "out").read_bytes() == event + b"\n"
