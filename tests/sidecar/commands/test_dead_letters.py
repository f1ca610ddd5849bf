"""`eventpub dead-letters list` and `show`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.commands import Command, SpoolFolder
from support.forked import as_root, in_child
from support.letters import BATCH, OTHER, fill

from eventpub.cli import main
from eventpub.sidecar.spool.batch import write_file
from eventpub.sidecar.spool.disk import Disk

NOBODY = 65_534


def test_list_shows_why_each_event_died_the_newest_last(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b"{}", batch_id=OTHER, reason="too_large", status=413, died_at="2020-02-02T00:00:00Z")
    spool.letter(b"garbage", batch_id=BATCH, index=12, reason="malformed", status=None, detail="x" * 99,
                 died_at="2020-01-01T00:00:00Z")  # fmt: skip
    done = eventpub("dead-letters", "list", "--spool", spool.directory)
    assert (done.code, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["DIED", "AT", "QUEUE", "REASON", "STATUS", "ID", "BYTES", "DETAIL"],
        ["2020-01-01T00:00:00Z", "q", "malformed", "-", "0123456789ab-12", "7", "x" * 59 + "…"],
        ["2020-02-02T00:00:00Z", "q", "too_large", "413", "fedcba987654-0", "2", "n:", "bad"],
    ]
    assert done.out.splitlines()[2].endswith("  n: bad")
    assert "\x1b" not in done.out


def test_letter_of_a_reason_that_another_version_wrote_is_listed_and_shown(
    eventpub: Command, spool: SpoolFolder
) -> None:
    path = spool.letter(b"{}", batch_id=BATCH)
    path.write_text(path.read_text().replace("rejected", "of_another_kind"))
    for action in (("list",), ("list", "--json"), ("show", BATCH)):
        done = eventpub("dead-letters", action[0], "--spool", spool.directory, *action[1:])
        assert (done.code, "of_another_kind" in done.out) == (0, True)


def test_list_does_nothing_to_the_terminal_that_shows_it(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b'{"a":"\xc2\x9b31m"}', batch_id=BATCH, detail="\x1b[31mred")
    for words in (("list",), ("list", "--json"), ("show", BATCH)):
        out = eventpub("dead-letters", words[0], "--spool", spool.directory, *words[1:]).out
        assert out.replace("\n", "").isprintable()


def test_list_can_be_filtered(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b"{}", batch_id=BATCH, reason="too_large", died_at="2020-01-31T11:00:00Z")
    spool.letter(b"{}", batch_id=OTHER)

    def ids(*words: str) -> list[str]:
        done = eventpub("dead-letters", "list", "--spool", spool.directory, "--json", *words)
        return [json.loads(line)["batch_id"] for line in done.out.splitlines()]

    assert ids() == [BATCH, OTHER]
    assert ids("--reason", "too_large") == [BATCH]
    assert ids("--since", "1h") == [OTHER]
    assert ids("--since", "2020-01-31T10:59:59") == [BATCH, OTHER]
    assert ids("--since", "2020-01-31T11:00:01Z") == [OTHER]
    assert eventpub("dead-letters", "list", "--spool", spool.directory, "--since", "soon").code == 64


@pytest.mark.parametrize("action", ["list", "replay"])
def test_reasons_are_those_that_help_lists(eventpub: Command, action: str) -> None:
    reasons = "{malformed,rejected,too_large,report}"
    assert f"--reason {reasons}" in eventpub("dead-letters", action, "--help").out
    done = eventpub("dead-letters", action, "--reason", "foo")
    assert (done.code, "invalid choice: 'foo'" in done.err) == (64, True)


def test_options_may_stand_before_the_ids(eventpub: Command, spool: SpoolFolder, config: Path) -> None:
    spool.letter(b"{}", batch_id=BATCH)
    assert eventpub("dead-letters", "show", str(config), "--queue-name", "q", BATCH).code == 0


def test_list_names_files_that_are_no_dead_letters_and_goes_on(eventpub: Command, spool: SpoolFolder) -> None:
    fill(spool, 1)
    (spool.dead / "notes.json").write_text("{}")
    (spool.dead / f"{OTHER}-00000.json").write_text("[" * 100_000)
    done = eventpub("dead-letters", "list", "--spool", spool.directory, "--json")
    assert (done.code, len(done.out.splitlines())) == (1, 1)
    assert "notes.json: its name is not that of a dead letter" in done.err
    assert f"{OTHER}-00000.json: it is nested too deeply" in done.err


def test_show_prints_the_letter_with_its_event_decoded(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b'{"a":{"b":1}}', batch_id=BATCH, index=3)
    done = eventpub("dead-letters", "show", "--spool", spool.directory, "0123-3")
    document = json.loads(done.out)
    assert (done.code, document["event"], document["index"]) == (0, {"a": {"b": 1}}, 3)
    assert '    "a": {\n' in done.out


@pytest.mark.parametrize(
    ("event", "shown"),
    [(b"garbage", {"event": "garbage"}), (b"\xff", {"event_base64": "/w=="})],
)
def test_show_prints_what_is_no_json_as_it_came(
    eventpub: Command, spool: SpoolFolder, event: bytes, shown: dict[str, str]
) -> None:
    spool.letter(event, batch_id=BATCH)
    document = json.loads(eventpub("dead-letters", "show", "--spool", spool.directory, BATCH).out)
    assert document.items() >= shown.items()


def test_an_id_may_be_shortened_until_it_is_ambiguous(eventpub: Command, spool: SpoolFolder) -> None:
    fill(spool, 2)
    spool.letter(b"{}", batch_id="0123" + OTHER[4:])
    show = ("dead-letters", "show", "--spool", spool.directory)
    assert eventpub(*show, "01234").out.count('"died_at"') == 2  # all of that batch
    for wrong, complaint in [
        ("0123", "is the beginning of several ids"),
        ("01234-7", "no dead letter 01234-7"),
        ("../../etc", "is not an id"),
    ]:
        done = eventpub(*show, wrong)
        assert (done.code, done.out) == (1, "")
        assert complaint in done.err


@as_root
def test_a_letter_that_this_user_may_not_read_does_not_keep_the_others_from_being_listed(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, spool: SpoolFolder
) -> None:
    mine, roots = spool.letter(b"{}", batch_id=BATCH), spool.letter(b"{}", batch_id=OTHER)
    for path in (spool.directory, *spool.directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.chown(roots, 0, 0)
    roots.chmod(0o600)
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(0o755)
    code = in_child(lambda: main(["dead-letters", "list", "--spool", str(spool.directory)]), uid=NOBODY)
    told = capfd.readouterr()
    assert (code, BATCH[:12] in told.out) == (1, True)
    assert f"{roots}: this user may not use it; run the command as its owner: sudo -u 'root'" in told.err
    assert mine.stat().st_uid == NOBODY


@as_root
@pytest.mark.parametrize("owner", [NOBODY, 0])
def test_what_root_writes_in_a_spool_belongs_to_the_owner_of_its_folder(spool: SpoolFolder, owner: int) -> None:
    os.chown(spool.dead, owner, owner)
    path = spool.letter(b"{}", batch_id=BATCH)
    write_file(Disk(), path, path.read_bytes(), fsync=True)
    write_file(Disk(), spool.dead / "replay-1.json", b"{}", fsync=True)
    for name in (path.name, "replay-1.json"):
        status = (spool.dead / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (owner, owner, 0o600)
