"""What deploy/ hands to operators, given to the programs it is written for."""

from __future__ import annotations

import configparser
import getpass
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.needs import need
from support.paths import ROOT
from support.sidecar_process import SECRET
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub import EventQueue
from eventpub.cli.exit_codes import EXIT_FROZEN
from eventpub.queue import kernel_limits, remedies
from eventpub.sidecar.config import SidecarConfig

DEPLOY = ROOT / "deploy"
SUPERVISORD = """\
[supervisord]
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
user = {user}
[include]
files = {folder}/program.conf
"""
SIDECAR = """\
[event-publisher:{queue_name}]
collector.hostname = {hostname}
collector.scheme = http
collector.version = 2j
key.name = test
key.{key}
max_queue_size = 10
max_message_size = 8192
batch.max_age = 50 ms
spool.dir = {folder}/spool
"""


class Supervisor:
    """A real supervisord that runs the program of deploy/supervisor, with other paths and another user."""

    def __init__(self, folder: Path, queue_name: str, collector: CollectorProcess, **changes: str) -> None:
        names = {"folder": folder, "queue_name": queue_name, "user": getpass.getuser()}
        text = SIDECAR.format(
            **names, hostname=collector.hostname, key=changes.get("key", f"secret = {SECRET}")
        )
        (folder / "sidecar.ini").write_text(text)
        program = (DEPLOY / "supervisor/eventpub-sidecar.conf").read_text()
        for old, new in (
            ("/opt/eventpub/bin/python", sys.executable),
            ("--queue-name v2 /etc/eventpub/v2.ini", f"--queue-name {queue_name} {folder}/sidecar.ini"),
            ("user = eventpub", f"user = {names['user']}"),
            ("/var/log/", f"{folder}/"),
            ("startsecs = 5", "startsecs = 1"),
        ):
            assert old in program
            program = program.replace(old, new)
        (folder / "program.conf").write_text(program)
        self._config = folder / "supervisord.conf"
        self._config.write_text(SUPERVISORD.format(**names))
        self._folder = folder
        self._process = subprocess.Popen(
            [need("supervisord", "apt-get install supervisor"), "--nodaemon", "--configuration", self._config],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )

    def log(self) -> str:
        """Return what supervisord has logged, and then what the sidecar has."""
        logs = (self._folder / "supervisord.log", self._folder / "eventpub-sidecar-v2.log")
        return "".join(log.read_text() for log in logs if log.exists())

    def wait_for(self, line: str, times: int = 1) -> None:
        wait_until(lambda: self.log().count(line) >= times, f"it logs {line!r}")

    def kill_sidecar(self) -> None:
        *_, pid = re.findall(r"spawned: .* with pid (\d+)", self.log())
        os.kill(int(pid), signal.SIGKILL)

    def stop(self) -> None:
        """Stop supervisord, which stops what it runs."""
        self._process.terminate()
        self._process.wait(DEADLINE_SECONDS)


@pytest.fixture
def collector(fresh_collector: CollectorProcess) -> CollectorProcess:
    return fresh_collector


@pytest.fixture
def supervise(
    tmp_path: Path, queue_name: str, collector: CollectorProcess
) -> Iterator[Callable[..., Supervisor]]:
    """Start a supervisord with a sidecar for the collector."""
    running: list[Supervisor] = []

    def start(**changes: str) -> Supervisor:
        running.append(Supervisor(tmp_path, queue_name, collector, **changes))
        return running[0]

    yield start
    for supervisor in running:
        supervisor.stop()


def test_supervisord_starts_a_killed_sidecar_again_and_stops_it_in_order(
    supervise: Callable[..., Supervisor], collector: CollectorProcess, queue_name: str
) -> None:
    supervisor = supervise()
    supervisor.wait_for("entered RUNNING state")
    with EventQueue(queue_name) as queue:
        queue.put({"n": 1})
        wait_until(lambda: len(collector.events()) == 1, "the first event is stored")
        supervisor.kill_sidecar()
        queue.put({"n": 2})
        wait_until(lambda: len(collector.events()) == 2, "the second event is stored")
        queue.put({"n": 3})
    supervisor.stop()
    assert [event["event"] for event in collector.events()] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert "stopped: eventpub-sidecar-v2 (exit status 0)" in supervisor.log()
    assert re.search(r"stopped received=2 .* unaccounted=0", supervisor.log())


def test_supervisord_starts_a_sidecar_again_that_has_ended_because_it_was_frozen(
    supervise: Callable[..., Supervisor], collector: CollectorProcess, queue_name: str, tmp_path: Path
) -> None:
    key, pipe, draft = tmp_path / "key", tmp_path / "pipe", tmp_path / "draft"
    key.write_text(SECRET)
    key.chmod(0o600)
    supervisor = supervise(key=f"secret_file = {key}\nwatchdog.timeout = 2")
    supervisor.wait_for("entered RUNNING state")
    with EventQueue(queue_name) as queue:
        queue.put({"n": 1})
        wait_until(lambda: len(collector.events()) == 1, "the first event is stored")
        os.mkfifo(pipe)
        os.link(pipe, draft)
        draft.replace(key)  # it is read before each attempt, and what reads it waits for a writer
        queue.put({"n": 2})
        supervisor.wait_for(f"exited: eventpub-sidecar-v2 (exit status {EXIT_FROZEN}; not expected)")
        draft.write_text(SECRET)
        draft.chmod(0o600)
        draft.replace(key)
        os.close(os.open(pipe, os.O_RDWR))  # one that was started meanwhile waits there, too
        wait_until(lambda: len(collector.events()) == 2, "the second event is stored")
    assert supervisor.log().count("spawned: 'eventpub-sidecar-v2'") >= 2
    assert "is frozen" in supervisor.log()


def test_supervisord_shows_what_is_wrong_with_a_configuration(
    supervise: Callable[..., Supervisor],
) -> None:
    supervisor = supervise(key="secret = not base64!")
    supervisor.wait_for("exited: eventpub-sidecar-v2 (exit status 78; not expected)")
    assert "[event-publisher:" in supervisor.log()
    assert "key.secret" in supervisor.log()


@pytest.mark.parametrize("name", ["eventpub-sidecar.conf", "eventpub-collector.conf"])
def test_supervisord_never_gives_up_and_starts_programs_where_no_module_is_in_the_way(name: str) -> None:
    program = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    program.read(DEPLOY / "supervisor" / name)
    (section,) = program.sections()
    assert (
        section
        == f"program:{program[section]['stdout_logfile'].removeprefix('/var/log/').removesuffix('.log')}"
    )
    assert program[section]["autorestart"] == "true"
    assert program[section]["directory"] == "/"
    # each pause is a second longer than the one before, so this is thousands of years
    assert int(program[section]["startretries"]) >= 1_000_000


@pytest.mark.parametrize("name", ["eventpub-sidecar@.service", "eventpub-collector.service"])
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    unit = (DEPLOY / "systemd" / name).read_text()
    assert "/opt/eventpub/bin/python" in unit
    copy = tmp_path / name.replace("@", "@v2")
    copy.write_text(unit.replace("/opt/eventpub/bin/python", sys.executable))
    command = [need("systemd-analyze", "apt-get install systemd"), "verify", "--recursive-errors=no", copy]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    command = [command[0], "security", "--offline=true", "--no-pager", copy]
    rated = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    level = re.search(r"Overall exposure level for .*: (\d+\.\d)", rated)  # of 10
    assert level, rated
    assert float(level[1]) < 2, rated


def test_systemd_waits_for_the_queue_and_ends_a_sidecar_that_cannot_end_itself() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read(DEPLOY / "systemd/eventpub-sidecar@.service")
    assert unit["Service"]["Type"] == "notify"
    itself_seconds = SidecarConfig.__dataclass_fields__["watchdog_timeout_seconds"].default
    assert int(unit["Service"]["WatchdogSec"]) > 2 * itself_seconds  # as often as sd_watchdog_enabled(3) wants


@pytest.mark.parametrize("number", [1, 2])
def test_the_collector_runs_with_the_workers_that_its_unit_names(tmp_path: Path, number: int) -> None:
    unit = (DEPLOY / "systemd/eventpub-collector.service").read_text()
    (line,) = re.findall("^ExecStart=/opt/eventpub/bin/python (.*)$", unit, re.MULTILINE)
    assert "Environment=WORKERS=1\n" in unit
    config = tmp_path / "collector.ini"
    store = f"sqlite:{tmp_path}/events.sqlite"
    config.write_text(f"[collector]\nlisten = 127.0.0.1:0\nstore = {store}\n[keys]\ntest = {SECRET}\n")
    words = line.replace("${WORKERS}", str(number)).replace("/etc/eventpub/collector.ini", str(config)).split()
    command = [sys.executable, *words]
    with subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True) as collector:
        try:
            assert collector.stdout is not None
            assert collector.stdout.readline().startswith("listening on http://127.0.0.1:")
            children = Path(f"/proc/{collector.pid}/task/{collector.pid}/children").read_text().split()
            assert len(children) == (number if number > 1 else 0)
        finally:
            collector.terminate()
        assert collector.wait(DEADLINE_SECONDS) == 0


def test_what_stops_the_sidecar_waits_longer_than_it_takes() -> None:
    takes_seconds = SidecarConfig.__dataclass_fields__["shutdown_timeout_seconds"].default
    for file, key in (
        ("supervisor/eventpub-sidecar.conf", "stopwaitsecs"),
        ("systemd/eventpub-sidecar@.service", "TimeoutStopSec"),
    ):
        found = re.search(rf"^{key} ?= ?(\d+)$", (DEPLOY / file).read_text(), re.MULTILINE)
        assert found
        assert int(found[1]) >= 2 * takes_seconds, file


def test_limits_of_the_sysctl_file_and_the_unit_hold_eight_of_the_largest_queues() -> None:
    sysctl = configparser.ConfigParser()
    sysctl.read_string("[all]\n" + (DEPLOY / "sysctl.d/60-eventpub.conf").read_text())
    assert dict(sysctl["all"]) == {
        "fs.mqueue.msg_max": str(kernel_limits.WANTED.max_messages),
        "fs.mqueue.msgsize_max": str(kernel_limits.WANTED.max_message_size),
    }
    need_bytes = remedies.ROOM_FOR * kernel_limits.need_bytes(kernel_limits.WANTED)
    for file in ("supervisor/eventpub-sidecar.conf", "systemd/eventpub-sidecar@.service"):
        assert f"LimitMSGQUEUE={need_bytes}\n" in (DEPLOY / file).read_text().replace(" below", "\n"), file


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in DEPLOY.glob("*/README.md"):
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"
