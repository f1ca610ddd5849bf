"""`--workers N`: one socket, N processes, and one that starts them again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from support.collector_process import KEY_NAME, SECRET, CollectorProcess
from support.nursery import Nursery
from support.paths import ROOT
from support.waiting import wait_until

from eventpub import wire


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    with CollectorProcess(tmp_path, faults=None, arguments=["--workers", "2"]) as running:
        yield running


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return sorted(map(int, found.stdout.split()))


def post(collector: CollectorProcess, batch_id: str, *names: str) -> requests.Response:
    body = wire.container("2j", [b'{"n":"%s"}' % name.encode() for name in names])
    headers = {wire.IDEMPOTENCY_HEADER: batch_id, wire.SIGNATURE_HEADER: wire.signature(KEY_NAME, SECRET, body)}
    return requests.post(f"{collector.url}/v2j", body, headers=headers, timeout=20)


def stored(collector: CollectorProcess) -> Counter[str]:
    with contextlib.closing(sqlite3.connect(collector.store_path)) as connection:
        return Counter(text for (text,) in connection.execute("SELECT event FROM events"))


def test_workers_share_a_socket_and_a_sqlite_file_and_store_each_batch_once(
    collector: CollectorProcess,
) -> None:
    assert len(children(collector.process.pid)) == 2
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda number: post(collector, f"b{number // 3}", str(number // 3)), range(150))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert stored(collector) == Counter({f'{{"n":"{number}"}}': 1 for number in range(50)})
    assert sum(not answer.json()["duplicate"] for answer in answers) == 50


def test_a_worker_that_dies_is_started_again_while_the_other_serves(collector: CollectorProcess) -> None:
    before = children(collector.process.pid)
    os.kill(before[0], signal.SIGKILL)
    assert post(collector, "a", "1").status_code == 200
    wait_until(
        lambda: len(set(children(collector.process.pid)) - {before[0]}) == 2, "the worker is started again"
    )
    assert post(collector, "b", "2").status_code == 200
    assert (
        "worker 0 ended with code -9 and is started again" in collector.log() or "worker 1" in collector.log()
    )


def test_sigterm_stops_all_of_them(collector: CollectorProcess) -> None:
    workers = children(collector.process.pid)
    assert collector.stop() == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_the_workers_still_start_ends_it_with_0(number: int, tmp_path: Path) -> None:
    with CollectorProcess(tmp_path, faults=None) as running:
        config = running.config_path
    command = [sys.executable, "-m", "eventpub.collector", "--workers", "2", str(config)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as started:
        wait_until(lambda: len(children(started.pid)) == 2, "the workers are there")
        started.send_signal(number)
        assert started.wait(30) == 0


def test_workers_stop_when_the_process_that_watches_them_is_killed(collector: CollectorProcess) -> None:
    workers = children(collector.process.pid)
    collector.kill()
    wait_until(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "the workers stop")


def test_a_worker_whose_watcher_died_before_it_was_ready_stops(tmp_path: Path) -> None:
    """It starts for a second or more, and waits for its store; nothing tells it of a death before it asks."""
    with CollectorProcess(tmp_path, faults=None) as running:
        config = running.config_path
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.set_inheritable(True)
        arguments = ["--listen-fd", str(listener.fileno()), "--watcher", str(os.getpid() + 1), str(config)]
        command = [sys.executable, "-m", "eventpub.collector", *arguments]
        done = subprocess.run(command, pass_fds=[listener.fileno()], timeout=30, check=False)
    assert done.returncode == 0


def test_sighup_reaches_every_worker(collector: CollectorProcess) -> None:
    collector.configure(keys={KEY_NAME: b"another secret"})
    collector.process.send_signal(signal.SIGHUP)
    wait_until(lambda: collector.log().count("reloaded file=") >= 2, "both have read the file again")
    assert {post(collector, f"b{number}", "1").status_code for number in range(20)} == {401}


def test_a_worker_that_is_frozen_is_replaced_and_the_log_of_the_watcher_follows_the_file(
    tmp_path: Path, nursery: Nursery
) -> None:
    settings = {"watchdog.timeout": "4 s", "store.timeout": "1 s", "log.level": "error"}
    arguments = ["--workers", "2"]
    with CollectorProcess(
        tmp_path, faults=None, settings=settings, arguments=arguments, nursery=nursery
    ) as collector:
        assert collector.process is not None
        watcher = collector.process.pid
        frozen = children(watcher)[0]
        assert collector.log().count("\n") == 1  # what is served
        collector.configure(**{"log.level": "info", "log.format": "json"})
        collector.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: "reloaded the settings of the log" in collector.log(), "the watcher has read it, too"
        )
        os.kill(frozen, signal.SIGSTOP)
        wait_until(lambda: "and is started again" in collector.log(), "it is killed")
        lines = [line for line in collector.log().splitlines() if "is frozen and is killed" in line]
        assert "it has not said how it is" in json.loads(lines[0])["message"]
        wait_until(lambda: len(set(children(watcher)) - {frozen}) == 2, "another one is there")
        assert post(collector, "a", "1").status_code == 200


@pytest.mark.parametrize(("words", "code"), [(["--workers", "0"], 64), (["--workers", "many"], 64)])
def test_a_number_of_workers_that_makes_no_sense_is_refused(
    words: list[str], code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "eventpub.collector", *words, str(tmp_path / "collector.ini")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == code
    assert "a whole number from 1 to 256" in done.stderr


def test_an_address_that_is_taken_ends_it_with_69_and_a_wrong_schema_with_78(tmp_path: Path) -> None:
    import socket  # noqa: PLC0415

    config = tmp_path / "collector.ini"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(
            f"[collector]\nlisten = 127.0.0.1:{taken.getsockname()[1]}\nstore = sqlite:{tmp_path}/e.sqlite\n"
            "[keys]\nk = aHVudGVyMg==\n"
        )
        command = [sys.executable, "-m", "eventpub.collector", "--workers", "2", str(config)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, "cannot listen on" in done.stderr) == (69, True)
    (tmp_path / "text").write_text("no database " * 100)
    config.write_text(
        f"[collector]\nlisten = 127.0.0.1:0\nstore = sqlite:{tmp_path}/text\n[keys]\nk = aHVudGVyMg==\n"
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "cannot be opened" in done.stderr) == (78, True)
