"""`eventpub dead-letters edit`."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pty
import sys
import tempfile
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.commands import QUEUE, Command, SpoolFolder, killed_in_a_child
from support.disks import KillingDisk
from support.letters import BATCH, fill, place, stored, write_config
from support.terminal import Session, run_in_terminal

from eventpub.schemas.event.ttypes import Event
from eventpub.serialization.serialize import serialize_v2_event
from eventpub.sidecar.commands import edit, letters
from eventpub.sidecar.commands.place import locate_spool
from eventpub.sidecar.spool import dead_letters


def editor(folder: Path, change: str) -> dict[str, str]:
    """Return an environment whose editor runs Python code with the `path` and the `text` of its file."""
    program = folder / "editor.py"
    program.write_text(
        f"#!{sys.executable}\nimport sys, pathlib\n"
        f"path = pathlib.Path(sys.argv[-1])\ntext = path.read_text()\n{change}\n"
    )
    program.chmod(0o755)
    return {"VISUAL": "", "EDITOR": str(program)}


def replacing(old: str, new: str) -> str:
    return f"path.write_text(text.replace({old!r}, {new!r}))"


def run_edit(config: Path, env: dict[str, str], *words: str, answers: str = "") -> Session:
    return run_in_terminal("dead-letters", "edit", *place(config), BATCH, *words, answers=answers, env=env)


def only_letter(spool: SpoolFolder) -> dict[str, object]:
    (path,) = spool.dead.iterdir()
    return dead_letters.read_letter(path.read_bytes())


def test_a_corrected_event_is_sent_and_its_letter_removed(
    spool: SpoolFolder, collector: CollectorProcess, config: Path, tmp_path: Path
) -> None:
    spool.letter(b'{"n":"one"}', batch_id=BATCH, detail="n: expected \x1b a number")
    seen = tmp_path / "seen"
    change = replacing('"one"', "1")
    env = editor(tmp_path, f"pathlib.Path({str(seen)!r}).write_text(text)\n{change}")
    done = run_edit(config, env)
    assert (done.code, done.screen.endswith("accepted 1, stayed 0\n")) == (0, True)
    assert stored(collector) == [{"n": 1}]
    assert list(spool.dead.iterdir()) == []
    head, _, body = seen.read_text().partition("\n\n")
    assert "# Refused as rejected 422: n: expected \\u001b a number" in head
    assert body == '{\n  "n": "one"\n}\n'


def test_its_result_is_one_document_for_a_program_while_the_editor_has_the_screen(
    spool: SpoolFolder, collector: CollectorProcess, config: Path, tmp_path: Path
) -> None:
    spool.letter(b'{"n":"one"}', batch_id=BATCH)
    words = ("dead-letters", "edit", *place(config), BATCH, "--json")
    told = tmp_path / "told.json"
    url = f"http://{collector.hostname}/v2j"
    answer = {"accepted": 0, "kept": [{"id": f"{BATCH[:12]}-0", "why": "it was not changed"}]}
    unchanged = run_in_terminal(*words, env=editor(tmp_path, "print('drawn')"), output=told)
    assert (unchanged.code, "drawn" in unchanged.screen) == (1, True)
    assert json.loads(told.read_text()) == {**answer, "url": url, "stopped_by": None}
    env = editor(tmp_path, "path.write_text('{' if '{\\n' in text else '{}')")
    done = run_in_terminal(*words, env=env, answers="y\n" * 2, output=told)
    assert (done.code, "edit it again? [Y/n]" in done.screen) == (0, True), done.screen
    assert json.loads(told.read_text()) == {"accepted": 1, "kept": [], "url": url, "stopped_by": None}


def test_a_struct_is_corrected_by_the_names_of_its_fields(
    spool: SpoolFolder, collector: CollectorProcess, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "v2.ini", spool, collector.hostname, collector_version="2")
    good = serialize_v2_event(Event(source="web", action="buy", noun="tea", client_timestamp=5, uuid="u"))
    wrong = json.loads(good) | {"201": {"str": "new"}}
    (number,) = (number for number, held in wrong.items() if held == {"i64": 5})
    wrong[number] = {"str": "now"}
    spool.letter(json.dumps(wrong).encode(), batch_id=BATCH, version="2")
    env = editor(tmp_path, replacing('{\n    "str": "now"\n  }', "7"))
    done = run_edit(config, env)
    assert (done.code, done.screen.endswith("accepted 1, stayed 0\n")) == (0, True)
    (event,) = stored(collector)
    assert event.items() >= {"noun": "tea", "client_timestamp": 7}.items()
    assert event["unknown_fields"] == {"201": {"str": "new"}}


def test_what_is_not_valid_is_said_and_edited_again_or_left(
    spool: SpoolFolder, collector: CollectorProcess, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "v2.ini", spool, collector.hostname, collector_version="2")
    spool.letter(
        serialize_v2_event(Event(source="web", action="buy", noun="tea", client_timestamp=5, uuid="u")),
        batch_id=BATCH,
    )
    before = spool.files()
    env = editor(tmp_path, replacing('"noun"', '"nuon"'))
    done = run_edit(config, env, answers="\nno\n")
    assert done.code == 1
    assert done.screen.count("this is not a valid event: nuon: is not a field; the fields are ") == 2
    assert done.screen.endswith("nothing was changed\n")
    assert (spool.files(), collector.requests()) == (before, [])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("", "the event was not changed, so nothing is sent"),
        ("path.write_text('')", "the event was not changed, so nothing is sent"),
        ("path.write_text('{}'); sys.exit(3)", "the editor ended with 3, so nothing was changed"),
    ],
)
def test_an_editor_that_fails_or_changes_nothing_changes_nothing(
    spool: SpoolFolder, config: Path, tmp_path: Path, change: str, told: str
) -> None:
    fill(spool, 1)
    before = spool.files()
    done = run_edit(config, editor(tmp_path, change))
    assert (done.code, told in done.screen) == (1, True)
    assert spool.files() == before


def test_a_correction_that_is_refused_stays_with_the_original_beside_it(
    spool: SpoolFolder, collector: CollectorProcess, config: Path, tmp_path: Path, eventpub: Command
) -> None:
    spool.letter(b'{"n":"one"}', batch_id=BATCH)
    collector.set_faults([{"status": 422, "body": "{}"}] * 2)
    for old, new in (('"one"', "1"), ("1", "2")):
        assert run_edit(config, editor(tmp_path, replacing(f'"n": {old}', f'"n": {new}'))).code in (1, 2)
    letter = only_letter(spool)
    assert (letter["event"], letter["original_event"]) == ('{"n":2}', '{"n":"one"}')
    shown = eventpub("dead-letters", "show", *place(config), "--all", "--json")
    assert json.loads(shown.out)["original_event"] == {"n": "one"}
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == [{"n": 2}]


def test_an_event_that_a_replay_may_have_delivered_is_not_edited(
    spool: SpoolFolder, collector: CollectorProcess, config: Path, tmp_path: Path, eventpub: Command
) -> None:
    fill(spool, 1)
    collector.set_faults([{"accept_then": "close"}])
    eventpub("dead-letters", "replay", *place(config), "--all")
    done = run_edit(config, editor(tmp_path, replacing("0", "1")))
    assert (done.code, "finish it first: eventpub dead-letters replay --queue-name" in done.screen) == (2, True)
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == [{"n": 0}]


def test_a_letter_that_changes_meanwhile_is_not_overwritten_and_the_text_is_kept(
    spool: SpoolFolder, collector: CollectorProcess, config: Path, tmp_path: Path
) -> None:
    path = spool.letter(b'{"n":0}', batch_id=BATCH)
    change = f"{replacing('0', '1')}\npathlib.Path({str(path)!r}).unlink()"
    done = run_edit(config, editor(tmp_path, change) | {"TMPDIR": str(tmp_path)})
    assert done.code == 1
    kept = Path(done.screen.split("your text is in ")[1].strip())
    assert json.loads(kept.read_text().partition("\n\n")[2]) == {"n": 1}
    assert collector.requests() == []


def test_without_a_terminal_or_an_editor_or_one_letter_it_says_so(
    spool: SpoolFolder, config: Path, eventpub: Command
) -> None:
    fill(spool, 2)
    done = eventpub("dead-letters", "edit", *place(config), f"{BATCH}-0")
    assert (done.code, "edit opens an editor, which needs a terminal" in done.err) == (64, True)
    for env, told in (
        ({"VISUAL": "", "EDITOR": ""}, "no editor is named; set $VISUAL or $EDITOR"),
        ({"VISUAL": "no-such-editor -w", "EDITOR": "ed"}, "'no-such-editor -w' is not installed"),
        ({"VISUAL": "'", "EDITOR": ""}, 'the editor "\'" is not installed'),
    ):
        asked = run_in_terminal("dead-letters", "edit", *place(config), f"{BATCH}-0", env=env)
        assert (asked.code, told in asked.screen) == (64, True), asked
    for words in ((), (BATCH,)):
        done = eventpub("dead-letters", "edit", *place(config), *words)
        assert (done.code, "name one dead letter: ID" in done.err) == (64, True)


def test_a_killed_edit_leaves_one_event_the_old_or_the_new_and_it_is_stored_once(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path, tmp_path: Path
) -> None:
    os.environ.pop("VISUAL", None)
    env = editor(tmp_path, replacing("old", "new"))

    def correct(disk: KillingDisk) -> None:
        _, terminal = pty.openpty()
        sys.stdin, sys.stdout = os.fdopen(terminal), os.fdopen(os.dup(terminal), "w")
        os.environ |= env
        tempfile.tempdir = str(tmp_path)  # a killed edit leaves its draft
        options = argparse.Namespace(spool=None, config_file=str(config), queue_name=QUEUE)
        (letter,) = letters.find_letters(spool.queue)[0]
        edit.edit_letter(locate_spool(options), letter, None, disk=disk)

    for step in itertools.count(1):
        spool.letter(b'{"s":"%d old"}' % step, batch_id=f"{step:032x}")
        killed = killed_in_a_child(lambda step=step: correct(KillingDisk(step)))
        assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
        assert list(spool.dead.iterdir()) == []
        if not killed:
            break
    assert step > 8
    assert [int(event["s"].split()[0]) for event in stored(collector)] == sorted(
        range(1, step + 1), key=lambda number: f"{number} "
    )
    words = [event["s"].split()[1] for event in stored(collector)]
    assert {"old", "new"} == set(words)
