"""`eventpub spool` on what a killed sidecar, a bad disk and a person leave, and beside a running sidecar."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import Command, Done, SpoolFolder, damage, killed_in_a_child
from support.disks import KillingDisk
from support.forked import as_root, in_child
from support.paths import ROOT
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub import wire
from eventpub.cli import main
from eventpub.cli.command import build_parser
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.commands.place import Place
from eventpub.sidecar.commands.repair import run_repair as repair_spool
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.slot import take_slot
from eventpub.sidecar.spool.spool import Spool
from eventpub.sidecar.telemetry.metrics import Telemetry

EVENTS = [b'{"n":%d}' % n for n in range(5)]
NOWHERE = 1  # a port where no collector listens


@pytest.fixture
def eventpub(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture
def spool(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path / "spool")


@pytest.fixture
def sidecar(tmp_path: Path, queue_name: str) -> Iterator[SidecarProcess]:
    """A sidecar whose collector is down, and that has 3 events in its spool."""
    running = SidecarProcess(tmp_path, queue_name, NOWHERE, collector_version="2j", shutdown_timeout="0.1")
    with MessageQueue.open(queue_name) as queue:
        for event in EVENTS[:3]:
            assert queue.send(event)
    wait_until(lambda: sum(int(path.name.split(".")[1]) for path in running.batches()) == 3, "it is sealed")
    yield running
    running.kill()


def events_of(folder: Path) -> list[bytes]:
    """The events of the batches of a slot, in the order they will be sent."""
    return [
        event
        for path in sorted(folder.glob("*.batch"))
        for event in records.read_records(path.read_bytes()).events
    ]


# --- the command line ------------------------------------------------------------------------------------

LEVELS = [
    ("spool",),
    ("spool", "status"),
    ("spool", "check"),
    ("spool", "export"),
    ("spool", "repair"),
    ("dead-letters",),
    ("dead-letters", "list"),
    ("dead-letters", "show"),
    ("dead-letters", "replay"),
    ("dead-letters", "drop"),
]


@pytest.mark.parametrize("level", LEVELS, ids=" ".join)
def test_every_help_ends_with_examples_the_command_takes(eventpub: Command, level: tuple[str, ...]) -> None:
    done = eventpub(*level, "--help")
    assert (done.code, done.err) == (0, "")
    _, _, epilog = done.out.partition("\nexamples:")
    examples = re.findall(r"^  eventpub (.+?)(?:  |>|$)", epilog, re.MULTILINE)
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(example)
        assert build_parser(words).parse_args(words).run


@pytest.mark.parametrize("level", [level for level in LEVELS if len(level) == 2], ids=" ".join)
def test_every_action_lists_its_exit_codes(eventpub: Command, level: tuple[str, ...]) -> None:
    out = eventpub(*level, "--help").out
    assert "\nexit codes: 0 " in out
    assert re.search(r"64 wrong arguments   73 no spool, or .+   78 wrong configuration\n", out)


def test_help_of_the_command_names_the_commands_of_the_sidecar(eventpub: Command) -> None:
    out = eventpub("--help").out
    assert re.search(r"^    dead-letters\b", out, re.MULTILINE)
    assert re.search(r"^    spool +look into a spool", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["put", "--help"], set()),
        (["--help"], {"eventpub.sidecar", "eventpub.sidecar.commands"}),
    ],
)
def test_commands_are_loaded_when_they_are_used(words: list[str], loaded: set[str]) -> None:
    program = (
        "import sys, contextlib; from eventpub.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({words})\n"
        "print([name for name in sys.modules if name.startswith(('eventpub.sidecar', 'importlib.metadata',"
        " 'gevent', 'requests'))], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(re.findall(r"'([\w.]+)'", done.stderr))
    if loaded:
        assert {name for name in modules if not name.startswith("importlib")} == loaded
    else:
        assert modules == set()


def test_an_extension_that_cannot_be_loaded_costs_only_itself(tmp_path: Path) -> None:
    package = tmp_path / "broken-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[eventpub.commands]\nbroken = missing_module:X\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eventpub", *words]
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    helped, used = run("--help"), run("broken")
    assert helped.returncode == 0
    assert re.search(r"broken +cannot be loaded: No module named 'missing_module'", helped.stdout)
    assert "spool" in helped.stdout
    assert (used.returncode, used.stdout) == (2, "")
    assert "command 'broken' cannot be loaded: No module named 'missing_module'; reinstall" in used.stderr


# --- which spool -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("a.ini", "--spool", "b")])
def test_a_spool_must_be_named_in_one_way(eventpub: Command, words: tuple[str, ...]) -> None:
    done = eventpub("spool", "status", *words)
    assert (done.code, done.out) == (64, "")
    assert "--spool DIR" in done.err


def test_a_spool_that_is_not_there_has_an_exit_code_of_its_own(eventpub: Command, tmp_path: Path) -> None:
    done = eventpub("spool", "status", "--spool", tmp_path / "none")
    assert (done.code, done.out) == (73, "")
    assert "is not there; its sidecar makes it" in done.err


def test_a_queue_that_is_not_there_is_answered_with_those_that_are(
    eventpub: Command, spool: SpoolFolder
) -> None:
    done = eventpub("spool", "status", "--spool", spool.directory, "--queue-name", "typo")
    assert done.code == 73
    assert "holds no queue typo (queues: q)" in done.err


def test_a_spool_without_queues_is_said_to_hold_none(eventpub: Command, tmp_path: Path) -> None:
    done = eventpub("spool", "status", "--spool", tmp_path)
    assert done.code == 73
    assert "holds no queue (queues: none)" in done.err


def test_the_only_sidecar_of_a_file_needs_no_name_and_one_of_several_does(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path
) -> None:
    section = "[event-publisher:{}]\ncollector.hostname = c\nkey.name = k\nkey.secret = aHVudGVyMg==\n"
    section += "spool.dir = {}\n"
    file = tmp_path / "a.ini"
    file.write_text(section.format("q", spool.directory) + "[statsd]\n")
    for words in (("spool", "status"), ("dead-letters", "list")):
        assert eventpub(*words, file).code == 0
    file.write_text(section.format("q", spool.directory) + section.format("other", spool.directory))
    done = eventpub("spool", "status", file)
    assert done.code == 64
    assert "has several sidecars (q, other); say which by --queue-name NAME" in done.err


def test_a_wrong_configuration_points_to_the_way_without_one(eventpub: Command, tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[event-publisher:main]\n")
    done = eventpub("spool", "status", tmp_path / "a.ini")
    assert done.code == 78
    assert "name it by --spool DIR" in done.err


@as_root
@pytest.mark.parametrize("words", [("spool", "check"), ("spool", "export"), ("dead-letters", "list")])
def test_another_user_is_told_whose_it_is(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, spool: SpoolFolder, words: tuple[str, str]
) -> None:
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(0o755)
    code = in_child(lambda: main([*words, "--spool", str(spool.directory)]), uid=65_534)
    assert code == 73
    assert "run the same as its owner: sudo -u 'root' eventpub" in capfd.readouterr().err


# --- status ----------------------------------------------------------------------------------------------


def test_status_shows_what_waits_and_who_works_there(eventpub: Command, sidecar: SidecarProcess) -> None:
    words = ("spool", "status", "--queue-name", sidecar.queue_name, sidecar.config)
    running = eventpub(*words)
    assert running.code == 0
    row = running.out.splitlines()[2].split("  ")
    cells = [cell.strip() for cell in row if cell.strip()]
    assert cells[:3] == [sidecar.queue_name, "0", f"pid {sidecar.process.pid}"]
    sidecar.stop()
    stopped = json.loads(eventpub(*words, "--json").out)
    (queue,) = stopped["queues"]
    (slot,) = queue["slots"]
    assert stopped["free_bytes"] > 0
    assert (slot["owner"], slot["events"], slot["open"], slot["splits"]) == ("", 3, 0, 0)
    assert slot["bytes"] == sum(path.stat().st_size for path in sidecar.batches())
    assert 0 < slot["oldest_seconds"] < 60
    assert "what waits in slot 0 is delivered once a sidecar of the queue starts" in eventpub(*words).out


def test_status_counts_letters_copies_files_left_open_and_splits(eventpub: Command, spool: SpoolFolder) -> None:
    spool.letter(b"{}", batch_id="a" * 32)
    spool.batch(1, EVENTS, suffix=".open")
    (spool.slot(0) / "000000000002.split").mkdir()
    (spool.damaged / "copy").write_bytes(b"copy")
    (spool.queue / "repaired" / "TIME" / "0").mkdir(parents=True)
    (spool.queue / "repaired" / "TIME" / "0" / "backup").write_bytes(b"backup")
    done = eventpub("spool", "status", "--spool", spool.directory, "--json")
    (queue,) = json.loads(done.out)["queues"]
    assert (queue["dead_letters"], queue["damaged_copies"]) == (1, 1)
    assert (queue["backups"], queue["copy_bytes"]) == (1, len(b"copy" + b"backup"))
    assert (queue["slots"][0]["open"], queue["slots"][0]["splits"]) == (1, 1)
    plain = eventpub("spool", "status", "--spool", spool.directory).out
    assert f"eventpub dead-letters list --spool {spool.directory}" in plain
    assert "\x1b" not in plain


def test_status_counts_events_that_a_killed_sidecar_left_in_open_batches_and_in_parts(
    eventpub: Command, spool: SpoolFolder
) -> None:
    def slot() -> dict[str, object]:
        (queue,) = json.loads(eventpub("spool", "status", "--spool", spool.directory, "--json").out)["queues"]
        return queue["slots"][0]

    spool.batch(1, EVENTS, suffix=".open")
    spool.batch(9, [], suffix=".open")  # a spare one
    assert (slot()["events"], slot()["open"], slot()["batches"]) == (5, 2, 0)
    assert slot()["oldest_seconds"] is not None
    spool.batch(2, EVENTS)
    split = spool.slot(0) / "000000000002.split"
    split.mkdir()
    spool.batch(3, EVENTS[:4]).rename(split / "000000000003.4.batch")  # the fifth is a dead letter
    assert (slot()["events"], slot()["batches"], slot()["splits"]) == (9, 1, 1)


def test_status_of_a_killed_sidecar_counts_what_it_had_received(
    eventpub: Command, sidecar: SidecarProcess
) -> None:
    sidecar.configure(batch_max_age="1 h")
    sidecar.stop()
    sidecar.start()
    with MessageQueue.open(sidecar.queue_name) as queue:
        for event in EVENTS[3:]:
            assert queue.send(event)
        wait_until(lambda: queue.depth() == 0, "they are received")
    sidecar.kill()
    words = ("spool", "status", "--queue-name", sidecar.queue_name, sidecar.config, "--json")
    (queue_,) = json.loads(eventpub(*words).out)["queues"]
    assert queue_["slots"][0]["events"] == len(EVENTS)


def test_looking_at_a_slot_keeps_no_sidecar_from_taking_it(spool: SpoolFolder) -> None:
    program = f"""
from eventpub.sidecar.spool.slot import is_owned
from pathlib import Path
print("ready", flush=True)
while True:
    is_owned(Path({str(spool.slot(0))!r}))
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        try:
            for _ in range(300):
                slot = take_slot(spool.slot(0))
                assert slot is not None
                slot.release()
        finally:
            looking.kill()


# --- check -----------------------------------------------------------------------------------------------


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
        f"{64 + 3 * size}, {size} bytes; holds 3 whole events of 5\ndamage was found\n",
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
        "000000000007.6.batch: holds 5 whole events of 6",
        "8.batch: has a name that no batch has",
        "000000000009.1.batch: is a link",
        "notes.txt: does not belong here",
        "-00007.json: its name and what it holds differ",
    ):
        assert text in done.out


def test_check_calls_work_left_unfinished_no_damage(eventpub: Command, spool: SpoolFolder) -> None:
    spool.batch(7, EVENTS, suffix=".open")
    done = eventpub("spool", "check", "--spool", spool.directory)
    assert (done.code, "left open, holds 5 events" in done.out) == (0, True)


@as_root
def test_check_has_an_exit_code_for_what_could_not_be_read(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, spool: SpoolFolder
) -> None:
    for folder in [*list(tmp_path.parents)[:-2], tmp_path, spool.directory, spool.queue, spool.slot(0)]:
        folder.chmod(0o755)
    for folder in (spool.dead, spool.damaged):
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


# --- export ----------------------------------------------------------------------------------------------


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
    assert "is damaged; its whole records are written: 4" in done.err


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
    assert "is there already" in again.err


def test_export_beside_a_running_sidecar(eventpub: Command, sidecar: SidecarProcess) -> None:
    done = eventpub("spool", "export", "--spool", sidecar.spool)
    assert done.out.encode().split() == EVENTS[:3]


# --- repair ----------------------------------------------------------------------------------------------


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
    assert "A batch of its 2 whole events takes its place." in done.out
    assert f"to do it: eventpub spool repair --spool {spool.directory} --apply" in done.out
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


def test_repair_killed_at_any_change_of_the_disk_is_finished_by_the_next(
    eventpub: Command, tmp_path: Path
) -> None:
    for step in itertools.count(1):
        spool = SpoolFolder(tmp_path / str(step))
        whole = break_everything(spool)
        there = Place(spool.directory, (spool.queue,), None, "")
        killed = killed_in_a_child(lambda at=there, n=step: repair_spool(at, apply=True, disk=KillingDisk(n)))
        assert repair(eventpub, spool, "--apply").code == 0
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
    (batch, *_) = sidecar.batches()
    before = batch.read_bytes()
    damage(batch, b'{"n":')
    damaged = batch.read_bytes()
    assert damaged != before
    done = eventpub("spool", "repair", "--spool", sidecar.spool, "--apply")
    assert f"left alone, pid {sidecar.process.pid} works there" in done.out
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
