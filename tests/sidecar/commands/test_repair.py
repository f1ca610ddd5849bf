"""`eventpub spool repair`."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import EVENTS, Command, Done, SpoolFolder, damage, events_of, killed_in_a_child
from support.disks import CachedDisk, KillingDisk
from support.forked import as_root, in_child
from support.sidecar_process import SidecarProcess

from eventpub import wire
from eventpub.cli import main
from eventpub.sidecar.commands.place import Place
from eventpub.sidecar.commands.repair import run_repair as repair_spool
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.spool import Spool
from eventpub.sidecar.telemetry.metrics import Telemetry


def repair(eventpub: Command, spool: SpoolFolder, *words: str) -> Done:
    return eventpub("spool", "repair", "--spool", spool.directory, *words)


def break_everything(spool: SpoolFolder) -> list[bytes]:
    """Leave one of each kind of work and damage, and return the whole events."""
    damage(spool.batch(1, [b'{"a":0}', b'{"a":1}', b'{"a":2}']), b'{"a":1}')
    left_open = spool.batch(2, [b'{"b":0}', b'{"b":1}'], suffix=".open")
    left_open.write_bytes(left_open.read_bytes() + bytes(5000))
    spool.batch(3, [b'{"c":0}', b'{"c":1}'])
    splitting = spool.slot(0) / "000000000003.splitting"
    splitting.mkdir(0o700)
    spool.batch(4, [b'{"c":0}']).rename(splitting / "000000000004.1.batch")
    spool.batch(5, [b'{"d":0}', b'{"d":1}'])
    split = spool.slot(0) / "000000000005.split"
    split.mkdir(0o700)
    spool.batch(6, [b'{"d":0}']).rename(split / "000000000006.1.batch")
    letter = spool.letter(b'{"d":1}', batch_id="d" * 32, index=1)
    letter.rename(split / letter.name)
    spool.batch(7, [b'{"e":0}']).rename(spool.slot(0) / "e.batch")
    (spool.slot(0) / "000000000009.tmp").write_bytes(b"half")
    (spool.slot(0) / "notes.txt").write_bytes(b"mine")
    damage(spool.batch(10, [b'{"f":0}']), b"EVENTPUB")
    spool.batch(1, [b'{"g":0}'], slot=3, suffix=".open")
    return [b'{"%c":%d}' % pair for pair in zip(b"aabbccdefg", [0, 2, 0, 1, 0, 1, 0, 0, 0, 0], strict=True)]


def test_repair_says_what_there_is_to_do_and_changes_nothing(eventpub: Command, spool: SpoolFolder) -> None:
    break_everything(spool)
    before = spool.files()
    done = repair(eventpub, spool)
    assert done.code == 1
    assert "A batch of its 2 intact events replaces it." in done.out
    assert f"to carry it out: eventpub spool repair --spool {spool.directory} --apply" in done.out
    assert spool.files() == before


def test_repair_leaves_whole_sealed_batches_with_every_whole_event(
    eventpub: Command, spool: SpoolFolder
) -> None:
    whole = break_everything(spool)
    done = repair(eventpub, spool, "--apply")
    assert (done.code, done.err) == (0, "")
    assert sorted(events_of(spool.slot(0)) + events_of(spool.slot(3))) == sorted(whole)
    assert [path.name for path in spool.dead.iterdir()] == [f"{'d' * 32}-00001.json"]
    assert {path.suffix for path in spool.slot(0).iterdir()} == {".batch", ".cut"}
    assert eventpub("spool", "check", "--spool", spool.directory) == Done(0, "sound\n", "")


def test_repair_keeps_every_touched_file_as_it_was(eventpub: Command, spool: SpoolFolder) -> None:
    break_everything(spool)
    before = spool.files()
    repair(eventpub, spool, "--apply")
    after = spool.files()
    backups = {name.split("/", 3)[3]: data for name, data in after.items() if name.startswith("q/repaired/")}
    gone = {name.removeprefix("q/"): data for name, data in before.items() if name not in after}
    assert gone
    assert gone.items() <= backups.items()
    assert all((spool.directory / name).stat().st_mode & 0o077 == 0 for name in after if "repaired" in name)


def test_repair_done_twice_does_nothing_the_second_time(eventpub: Command, spool: SpoolFolder) -> None:
    break_everything(spool)
    repair(eventpub, spool, "--apply")
    before = spool.files()
    assert repair(eventpub, spool, "--apply") == Done(0, "nothing is left to repair\n", "")
    assert repair(eventpub, spool) == Done(0, "nothing is left to repair\n", "")
    assert spool.files() == before


def test_repair_killed_at_any_change_of_the_disk_is_finished_by_the_next(tmp_path: Path) -> None:
    for step in itertools.count(1):
        spool = SpoolFolder(tmp_path / str(step))
        whole = break_everything(spool)
        there = Place(spool.directory, (spool.queue,), None, "")
        killed = killed_in_a_child(lambda at=there, n=step: repair_spool(at, apply=True, disk=KillingDisk(n)))
        assert repair_spool(there, apply=True, disk=CachedDisk()) == 0
        assert sorted(events_of(spool.slot(0)) + events_of(spool.slot(3))) == sorted(whole), step
        assert [path.name for path in spool.slot(0).glob("*.cut")] == ["000000000001.1.cut"]
        assert len(list(spool.dead.iterdir())) == 1
        if not killed:
            break
    assert step > 20


def test_repair_cuts_under_the_id_that_a_sidecar_would_send(eventpub: Command, spool: SpoolFolder) -> None:
    path = spool.batch(1, EVENTS)
    batch_id = records.read_records(path.read_bytes()).batch_id
    assert batch_id is not None
    damage(path, EVENTS[0])
    repair(eventpub, spool, "--apply")
    (mended,) = spool.slot(0).glob("*.batch")
    assert records.read_records(mended.read_bytes()).batch_id == wire.part_batch_id(batch_id, range(4))


def test_a_sidecar_goes_on_with_what_was_repaired_and_counts_what_was_cut_out(
    eventpub: Command, spool: SpoolFolder
) -> None:
    """In its own slot and in one that it adopts; the sidecar after it has nothing more to count."""
    whole = break_everything(spool)
    damage(spool.batch(2, [b'{"h":0}', b'{"h":1}', b'{"h":2}'], slot=3), b'{"h":')
    repair(eventpub, spool, "--apply")
    for lost in (2, 0):
        telemetry = Telemetry()
        opened = Spool(
            spool.directory, "q", max_bytes=1 << 20, dead_max_bytes=1 << 20, fsync=False, telemetry=telemetry
        )
        found = [
            event
            for batch in opened.recovered
            for event in records.read_records(batch.path.read_bytes()).events
        ]
        telemetry.spooled = opened.events
        opened.close()
        assert sorted(found) == sorted([*whole, b'{"h":1}', b'{"h":2}'])
        ledger = telemetry.ledger()
        assert (ledger.recovered, ledger.dropped, ledger.unaccounted) == (len(found) + lost, lost, 0)
        assert len(telemetry.losses) == lost


def test_repair_waits_for_a_person_once_backups_take_as_much_as_dead_letters_may(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path
) -> None:
    config = tmp_path / "a.ini"
    config.write_text(
        "[event-publisher:q]\ncollector.hostname = c\nkey.name = k\nkey.secret = aHVudGVyMg==\n"
        f"dead_letters.max_size = 1 MiB\nspool.dir = {spool.directory}\n"
    )
    big = [b'{"pad":"%s"}' % (b"x" * 90_000)] * 12
    damage(spool.batch(1, big), big[0])
    assert eventpub("spool", "repair", config, "--apply").code == 0
    damage(spool.batch(2, EVENTS), EVENTS[0])
    before = spool.files()
    done = eventpub("spool", "repair", config, "--apply")
    assert done.code == 2
    assert "earlier backups take 1,08" in done.err
    assert f"eventpub spool export --damaged --queue-name q {config}) and remove them" in done.err
    assert spool.files() == before
    for path in (spool.queue / "repaired").rglob("*.batch"):
        path.unlink()
    assert eventpub("spool", "repair", config, "--apply").code == 0


def test_export_of_copies_writes_what_was_kept_by_a_repair(eventpub: Command, spool: SpoolFolder) -> None:
    damage(spool.batch(1, EVENTS), EVENTS[2])
    repair(eventpub, spool, "--apply")
    waiting = [*EVENTS[:2], *EVENTS[3:]]
    done = eventpub("spool", "export", "--spool", spool.directory, "--damaged")
    assert (done.code, done.out.encode().split()) == (1, 2 * waiting)


def test_repair_leaves_the_slot_of_a_running_sidecar_alone(eventpub: Command, sidecar: SidecarProcess) -> None:
    sidecar.pause()  # it would find the damage, too
    (batch, *_) = sidecar.batches()
    before = batch.read_bytes()
    damage(batch, b'{"n":')
    damaged = batch.read_bytes()
    assert damaged != before
    done = eventpub("spool", "repair", "--spool", sidecar.spool, "--apply")
    assert f"skipped, pid {sidecar.process.pid} owns it" in done.out
    assert batch.read_bytes() == damaged
    assert not (batch.parent.parent / "repaired").exists()


def test_repair_of_a_killed_sidecars_slot_loses_nothing(eventpub: Command, sidecar: SidecarProcess) -> None:
    sidecar.kill()
    done = eventpub("spool", "repair", "--queue-name", sidecar.queue_name, sidecar.config, "--apply")
    assert (done.code, done.err) == (0, "")
    assert events_of(sidecar.spool / sidecar.queue_name / "0") == EVENTS[:3]


@as_root
def test_repair_is_for_the_owner_of_the_spool_alone(eventpub: Command, spool: SpoolFolder) -> None:
    spool.batch(1, EVENTS, suffix=".open")
    os.chown(spool.slot(0), 65_534, 65_534)
    done = repair(eventpub, spool, "--apply")
    assert done.code == 73
    assert "belongs to uid 65534" in done.err


@settings(max_examples=30)
@given(events=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), data=st.data())
def test_repair_keeps_what_can_be_read_of_any_damage(
    tmp_path_factory: pytest.TempPathFactory, events: list[bytes], data: st.DataObject
) -> None:
    spool = SpoolFolder(tmp_path_factory.mktemp("any") / "spool")
    path = spool.batch(1, events, suffix=data.draw(st.sampled_from([".open", ""])))
    image = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        image[data.draw(st.integers(0, len(image) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(image[: data.draw(st.integers(0, len(image)))])
    readable = records.read_records(path.read_bytes()).events
    assert main(["spool", "repair", "--spool", str(spool.directory), "--apply"]) == 0
    assert events_of(spool.slot(0)) == readable


def test_output_is_plain_in_a_pipe_and_bold_on_a_terminal(spool: SpoolFolder) -> None:
    run: Callable[[], int] = lambda: main(["spool", "status", "--spool", str(spool.directory)])  # noqa: E731
    reader, writer = os.openpty()

    def on_terminal() -> int:
        os.dup2(writer, 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        os.environ.pop("NO_COLOR", None)
        os.environ["TERM"] = "xterm"
        return run()

    assert in_child(on_terminal) == 0
    assert b"\x1b[1mQUEUE" in os.read(reader, 4096)
    os.close(reader)
    os.close(writer)
