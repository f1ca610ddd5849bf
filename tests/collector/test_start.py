"""What a start waits for, and what a reload takes: momentary trouble ends nothing."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from support.collector_process import CollectorProcess
from support.paths import CERTIFICATES, ROOT
from support.ports import free_port
from support.waiting import wait_until

from eventpub import wire

AUTHORITY, SERVER = CERTIFICATES / "ca.pem", CERTIFICATES / "server.pem"
KEYS = "[keys]\ntest = aHVudGVyMg==\n"


class Starting:
    """A collector that does not serve yet."""

    def __init__(self, folder: Path, *lines: str, port: int = 0) -> None:
        config = folder / "collector.ini"
        store = f"store.path = {folder}/events.sqlite"
        config.write_text("\n".join(["[collector]", f"listen = 127.0.0.1:{port}", store, *lines, KEYS]))
        self._ready, self._log = folder / "url", folder / "log"
        command = [sys.executable, "-m", "eventpub.collector", "--ready-file", str(self._ready), str(config)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def log(self) -> str:
        return self._log.read_text()

    def waits(self, what: str) -> None:
        wait_until(lambda: "waiting: " in self.log(), "it says that it waits")
        assert what in self.log()
        assert self.process.poll() is None

    def url(self) -> str:
        return wait_until(lambda: self._ready.exists() and self._ready.read_text().strip(), "it serves")


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Starting]]:
    started: list[Starting] = []

    def start(*lines: str, port: int = 0) -> Starting:
        started.append(Starting(tmp_path, *lines, port=port))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_a_store_that_is_locked_at_the_start_is_waited_for(start, tmp_path):
    CollectorProcess(tmp_path, faults=None).stop()
    with locked(tmp_path / "events.sqlite"):
        collector = start("store.busy_timeout = 50 ms")
        collector.waits("database is locked")
    assert requests.get(f"{collector.url()}/health", timeout=10).status_code == 200


def test_a_collector_without_a_store_yet_lives_and_is_not_ready(start, tmp_path):
    CollectorProcess(tmp_path, faults=None).stop()
    port = free_port()
    with locked(tmp_path / "events.sqlite"):
        collector = start("store.busy_timeout = 50 ms", port=port)
        collector.waits("database is locked")

        def probe(path):
            return requests.get(f"http://127.0.0.1:{port}{path}", timeout=10)

        assert (probe("/livez").status_code, probe("/readyz").status_code) == (200, 503)
        assert "database is locked" in probe("/readyz").json()["reason"]
        refused = requests.post(f"http://127.0.0.1:{port}/v2j", b"[{}]", timeout=10)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert collector.process.poll() is None
    wait_until(lambda: probe("/readyz").status_code == 200, "it is ready")


def test_a_disk_that_is_full_at_the_start_is_waited_for(start):
    """A file size limit stands in for the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        collector = start()
        collector.waits("[collector] store.path = ")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, before)
    assert requests.get(f"{collector.url()}/health", timeout=10).status_code == 200


@pytest.mark.parametrize("late", ["tls.certificate", "tls.client_ca"])
def test_a_certificate_that_is_not_there_yet_is_waited_for(start, tmp_path, late):
    files = {"tls.certificate": SERVER, "tls.client_ca": AUTHORITY}
    there = {key: tmp_path / key for key in files}
    for key, source in files.items():
        if key != late:
            shutil.copy(source, there[key])
    collector = start(*(f"{key} = {path}" for key, path in there.items()))
    collector.waits(f"cannot be loaded: [Errno 2] No such file or directory: '{there[late]}'")
    shutil.copy(files[late], there[late])
    assert collector.url().startswith("https://")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_ends_when_it_is_told_to(start, number):
    collector = start("tls.certificate = /nowhere.pem")
    collector.waits("/nowhere.pem")
    collector.process.send_signal(number)
    assert collector.process.wait(10) == 0


def test_sighup_while_a_start_waits_is_kept_for_later(start, tmp_path):
    certificate = tmp_path / "late.pem"
    collector = start(f"tls.certificate = {certificate}")
    collector.waits("late.pem")
    collector.process.send_signal(signal.SIGHUP)
    shutil.copy(SERVER, certificate)
    assert collector.url().startswith("https://")
    wait_until(lambda: "reloaded file=" in collector.log(), "it is done then")


def test_sighup_at_any_moment_of_a_start_does_not_end_it(start):
    collector = start()
    for _ in range(200):
        if is_ours(collector.process.pid):
            collector.process.send_signal(signal.SIGHUP)
        if "listening" in collector.log():
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            collector.process.wait(0.01)
            break
    assert collector.url()
    assert collector.process.poll() is None


def is_ours(pid: int) -> bool:
    """Tell whether the program has come so far as to say what SIGHUP does; before, it is the interpreter's."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigIgn", "SigCgt"))]
    return any(mask & 1 << (signal.SIGHUP - 1) for mask in masks)


def test_a_store_is_closed_also_where_requests_in_flight_get_no_time(start, tmp_path):
    collector = start("timeout.stop = 0")
    collector.url()
    collector.process.send_signal(signal.SIGTERM)
    assert collector.process.wait(15) == 0
    assert "the store does not answer" not in collector.log()
    assert not (tmp_path / "events.sqlite-wal").exists()


def test_a_store_that_hangs_does_not_keep_it_from_ending(start, tmp_path):
    """As long as somebody holds the lock, the thread of the store is in SQLite."""
    collector = start("store.busy_timeout = 60 s", "timeout.stop = 100 ms")
    url = collector.url()
    with locked(tmp_path / "events.sqlite"):
        headers = {wire.SIGNATURE_HEADER: wire.signature("test", b"hunter2", b"[{}]")}
        with contextlib.suppress(requests.RequestException):
            requests.post(f"{url}/v2j", data=b"[{}]", headers=headers, timeout=0.5)
        collector.process.send_signal(signal.SIGTERM)
        assert collector.process.wait(15) == 75
    assert "the store does not answer" in collector.log()
