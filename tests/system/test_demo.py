"""`make demo` as a newcomer runs it, only shorter."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import posix_ipc
import pytest
import requests
from support.paths import ROOT
from support.waiting import DEADLINE_SECONDS

from eventpub.wire import QUEUE_PREFIX


def start(folder: Path, seconds: float, *more: str) -> subprocess.Popen[str]:
    options = ["--folder", folder, "--seconds", str(seconds), "--shops", "2", "--clients", "2", *more]
    return subprocess.Popen(
        [sys.executable, "deploy/demo/run.py", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder and the output of one demo that went well."""
    folder = tmp_path_factory.mktemp("demo") / "the run"
    demo = start(folder, seconds=1)
    output, _ = demo.communicate(timeout=3 * DEADLINE_SECONDS)
    assert demo.returncode == 0, output
    assert not queue_exists(demo.pid)
    return folder, output


def queue_exists(pid: int) -> bool:
    try:
        posix_ipc.MessageQueue(f"{QUEUE_PREFIX}demo-{pid}").close()
    except posix_ipc.ExistentialError:
        return False
    return True


def table(output: str) -> dict[str, float]:
    rows = re.findall(r"^  ([a-z].*?)  +([\d,.]+)(?: µs| s)?$", output, re.MULTILINE)
    return {name: float(number.replace(",", "")) for name, number in rows}


def test_every_event_that_was_put_is_stored_once_and_the_table_says_so(run: tuple[Path, str]) -> None:
    folder, output = run
    numbers = table(output)
    put = numbers["events put"]
    assert put > 0
    assert numbers["requests answered"] == put + numbers["refused, the queue was full"]
    assert numbers["delivered by the sidecar"] == numbers["stored by the collector"] == put
    assert numbers["lost"] == numbers["stored more than once"] == 0
    assert 0 < numbers["put, median"] <= numbers["put, 99 of 100 within"]
    assert 0 <= numbers["from put to the store, median"] <= numbers["from put to the store, 99 of 100"]
    with contextlib.closing(sqlite3.connect(folder / "events.sqlite")) as store:
        assert store.execute("SELECT count(DISTINCT uuid) FROM events").fetchone() == (put,)


def test_every_process_ends_with_exit_code_0_in_the_order_of_the_data(run: tuple[Path, str]) -> None:
    ended = re.findall(r"^  (\S+) +exit code 0$", run[1], re.MULTILINE)
    assert ended == ["shop-1", "shop-2", "sidecar", "collector"]


def test_the_commands_at_the_end_work_as_they_are_printed(run: tuple[Path, str]) -> None:
    commands = run[1].partition("Look further:\n")[2].splitlines()
    assert len(commands) == 4
    for command in commands:
        assert subprocess.check_output(command, shell=True, cwd="/")


def test_the_report_names_what_is_lost_and_what_is_stored_twice(
    run: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "deploy/demo")
    import report  # noqa: PLC0415, a script that becomes importable here

    folder = shutil.copytree(run[0], tmp_path / "run")
    with contextlib.closing(sqlite3.connect(folder / "events.sqlite")) as store, store:
        store.execute("DELETE FROM events WHERE id = 1")
        store.execute("UPDATE events SET uuid = (SELECT uuid FROM events WHERE id = 2) WHERE id IN (3, 4)")
    assert report.make(folder).faults == ["3 events: lost", "2 events: stored more than once"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_neither_processes_nor_its_queue(
    tmp_path: Path, number: signal.Signals
) -> None:
    demo = start(tmp_path / "run", seconds=60)
    assert demo.stdout
    lines = [demo.stdout.readline()]
    while "client-2" not in lines[-1]:
        assert lines[-1], lines
        lines.append(demo.stdout.readline())
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=DEADLINE_SECONDS)
    assert demo.returncode == 130, rest
    assert not queue_exists(demo.pid)
    pids = re.findall(r" process (\d+)$", "".join(lines), re.MULTILINE)
    assert len(pids) == 6
    assert not [pid for pid in pids if Path("/proc", pid).exists()]


def test_the_page_is_there_while_it_runs_and_with_keep_until_ctrl_c(tmp_path: Path) -> None:
    demo = start(tmp_path / "run", 0.3, "--keep")
    assert demo.stdout
    lines = [demo.stdout.readline()]
    while "until you press Ctrl-C" not in lines[-1]:
        assert lines[-1], lines
        lines.append(demo.stdout.readline())
    (page,) = re.findall(r"see them arrive: (\S+)", "".join(lines))
    assert page in lines[-1]
    assert requests.get(f"{page}/micro/good?source=shop&wait=20s", timeout=60).json()["matched"] > 0
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=3 * DEADLINE_SECONDS)
    assert demo.returncode == 0, rest
    assert table(rest)["lost"] == 0
