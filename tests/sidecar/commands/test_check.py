"""`eventpub spool check`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import EVENTS, Command, Done, SpoolFolder, damage
from support.forked import as_root, in_child
from support.paths import let_others_in
from support.sidecar_process import SidecarProcess

from eventpub.cli import main
from eventpub.sidecar.spool import records


def test_check_of_a_sound_spool(eventpub: Command, spool: SpoolFolder) -> None:
    spool.batch(1, EVENTS)
    spool.letter(b"{}", batch_id="a" * 32)
    assert eventpub("spool", "check", "--spool", spool.directory) == Done(0, "sound\n", "")


def test_check_reports_each_damaged_record_with_its_offset(eventpub: Command, spool: SpoolFolder) -> None:
    path = spool.batch(7, EVENTS)
    damage(path, EVENTS[1])
    damage(path, EVENTS[3])
    done = eventpub("spool", "check", "--spool", spool.directory)
    size = records.padded_size(len(EVENTS[0]))
    assert done == Done(
        1,
        f"q/0/000000000007.5.batch: damaged at offset {64 + size}, {size} bytes; damaged at offset "
        f"{64 + 3 * size}, {size} bytes; has 3 intact events of 5\ndamage was found\n",
        "",
    )


def test_check_reports_a_damaged_header(eventpub: Command, spool: SpoolFolder) -> None:
    damage(spool.batch(7, EVENTS), b"EVENTPUB")
    done = eventpub("spool", "check", "--spool", spool.directory)
    assert (done.code, "damaged at offset 0, 64 bytes (the header)" in done.out) == (1, True)


def test_check_holds_names_to_contents(eventpub: Command, spool: SpoolFolder) -> None:
    path = spool.batch(7, EVENTS)
    path.rename(path.with_name("000000000007.6.batch"))
    (spool.slot(0) / "8.batch").write_bytes(b"")
    (spool.slot(0) / "notes.txt").write_bytes(b"")
    (spool.slot(0) / "000000000009.1.batch").symlink_to("/dev/zero")
    letter = spool.letter(b"{}", batch_id="a" * 32)
    letter.rename(letter.with_name(f"{'a' * 32}-00007.json"))
    done = eventpub("spool", "check", "--spool", spool.directory)
    assert done.code == 1
    for text in (
        "000000000007.6.batch: has 5 intact events of 6",
        "8.batch: has a name that is not a batch's",
        "000000000009.1.batch: is a link",
        "notes.txt: does not belong here",
        "-00007.json: its name does not match its content",
    ):
        assert text in done.out


def test_check_calls_work_left_unfinished_no_damage(eventpub: Command, spool: SpoolFolder) -> None:
    spool.batch(7, EVENTS, suffix=".open")
    done = eventpub("spool", "check", "--spool", spool.directory)
    assert (done.code, "left open, has 5 events" in done.out) == (0, True)


@as_root
def test_check_has_an_exit_code_for_what_could_not_be_read(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, spool: SpoolFolder
) -> None:
    let_others_in(tmp_path)
    for folder in (spool.directory, spool.queue, spool.slot(0), spool.dead, spool.damaged):
        folder.chmod(0o755)
    spool.batch(7, EVENTS).chmod(0o600)
    code = in_child(lambda: main(["spool", "check", "--spool", str(spool.directory)]), uid=65_534)
    assert code == 2
    assert "000000000007.5.batch: cannot be read: Permission denied" in capfd.readouterr().out


def test_check_beside_a_running_sidecar_finds_its_work_sound(
    eventpub: Command, sidecar: SidecarProcess
) -> None:
    done = eventpub("spool", "check", "--spool", sidecar.spool)
    assert done == Done(0, "sound\n", "")
    assert sidecar.stop() == 0
