"""`eventpub dev` as a newcomer runs it: one command, an event, the page, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import posix_ipc
import pytest
import requests
from support.paths import ROOT
from support.ports import free_ports
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.dev import claim
from eventpub.dev.claim import claim_queue
from eventpub.dev.errors import ClaimedError
from eventpub.wire import QUEUE_PREFIX


class Dev:
    """The command, running."""

    def __init__(self, queue: str, folder: Path, *arguments: str, is_kept: bool = True) -> None:
        self.folder = folder
        self._log = folder.with_name("dev.log")
        self.output = ""
        command = [
            sys.executable,
            "-m",
            "eventpub",
            "dev",
            "--queue-name",
            queue,
            *(("--keep", str(folder)) if is_kept else ()),
            *arguments,
        ]
        environment = {**os.environ, "TMPDIR": str(folder.parent)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)
        wait_until(
            lambda: "Ctrl-C ends everything" in self.read() or self.process.poll() is not None, "started", 60
        )

    def read(self) -> str:
        """Return what it has said."""
        self.output = self._log.read_text()
        return self.output

    @property
    def page(self) -> str:
        """Return the page's address as it is printed."""
        (url,) = re.findall(r"^Page +(\S+)$", self.output, re.MULTILINE)
        return str(url)

    def end(self, number: int = signal.SIGINT) -> int:
        """Interrupt it; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


def port_arguments() -> list[str]:
    """Return arguments for ports that nobody uses."""
    port, page_port = free_ports(2)
    return ["--port", str(port), "--page-port", str(page_port)]


ANY_PORTS = ("--port", "0", "--page-port", "0")


def queue_exists(queue: str) -> bool:
    try:
        posix_ipc.MessageQueue(QUEUE_PREFIX + queue).close()
    except posix_ipc.ExistentialError:
        return False
    return True


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    queue = f"dev{os.getpid()}"
    running = Dev(queue, tmp_path_factory.mktemp("dev") / "kept", *port_arguments())
    yield running
    running.end()


def test_the_examples_it_prints_put_events_that_the_page_shows(dev: Dev) -> None:
    example = dev.output.partition("from Python:")[2].partition("or from a shell:")[0]
    program = "\n".join(line.strip() for line in example.strip().splitlines())
    assert len(program.splitlines()) == 3
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
    (command,) = re.findall(r"^    eventpub (put .*)$", dev.output, re.MULTILINE)
    subprocess.run(f"{sys.executable} -m eventpub {command}", shell=True, cwd=ROOT, check=True, timeout=60)
    found = requests.get(f"{dev.page}/micro/good?noun=tea&wait=20s&count=2", timeout=60).json()
    assert found["matched"] == 2, found
    assert "text/html" in requests.get(dev.page, timeout=10).headers["Content-Type"]


def test_taken_ports_are_replaced_and_said(dev: Dev, tmp_path: Path, queue_name: str) -> None:
    other = Dev(queue_name, tmp_path / "kept", *dev.process.args[-4:])  # type: ignore[index]
    try:
        assert other.page != dev.page
        assert other.output.count("is taken; a free one is used instead.") == 2
        assert requests.get(f"{other.page}/micro/all", timeout=10).json()["matched"] == 0
    finally:
        code = other.end(signal.SIGTERM)
    assert code == 0


def test_a_program_that_ends_by_itself_ends_the_other_and_its_log_is_shown(
    tmp_path: Path, queue_name: str
) -> None:
    running = Dev(queue_name, tmp_path / "kept", *port_arguments(), "--schema", "nowhere:Nothing")
    assert running.process.wait(DEADLINE_SECONDS) == 2
    assert "the collector ended with exit code 78" in running.read()
    assert "cannot be imported" in running.output
    assert not queue_exists(queue_name)


def test_both_programs_end_with_it_however_it_ends(tmp_path: Path, queue_name: str) -> None:
    running = Dev(queue_name, tmp_path / "kept", *port_arguments())
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    assert len(children) == 2
    running.end(signal.SIGKILL)
    wait_until(lambda: not [pid for pid in children if Path("/proc", pid).exists()], "both have ended")


def test_what_a_killed_one_leaves_is_used_or_removed_by_the_next(tmp_path: Path, queue_name: str) -> None:
    tea = '{"source": "shop", "action": "buy", "noun": "tea"}'
    event = [sys.executable, "-m", "eventpub", "put", "--event", queue_name, tea]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for number in (1, 2):
        running = Dev(queue_name, tmp_path / "none", *ANY_PORTS, is_kept=False)
        assert len([*tmp_path.glob("eventpub-dev-*")]) == 1
        if number == 2:  # the event that waited in the queue of the first
            found = requests.get(f"{running.page}/micro/good?noun=tea&wait=20s", timeout=60).json()
            assert found["matched"] == 1
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        running.end(signal.SIGKILL)
        wait_until(
            lambda of=children: not [pid for pid in of if Path("/proc", pid).exists()], "both have ended"
        )
        assert queue_exists(queue_name)
        if number == 1:
            subprocess.run(event, cwd=ROOT, env=environment, check=True, timeout=60)
    other = Dev(f"{queue_name}x", tmp_path / "none", *ANY_PORTS, is_kept=False)
    assert not queue_exists(queue_name)
    assert len([*tmp_path.glob("eventpub-dev-*")]) == 1
    assert other.end() == 0
    assert [*tmp_path.glob("eventpub-dev-*")] == []


def test_files_that_are_kept_are_for_the_user_alone_whatever_the_folder_is(
    tmp_path: Path, queue_name: str
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "collector.ini").touch()
    (folder / "collector.ini").chmod(0o644)
    assert Dev(queue_name, folder, *ANY_PORTS).end() == 0
    assert folder.stat().st_mode & 0o777 == 0o755
    kept = [*folder.rglob("*")]
    assert {"events.sqlite", "collector.ini", "sidecar.ini", "sidecar.log", "spool"} <= {
        path.name for path in kept
    }
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


def test_a_queue_or_a_folder_of_another_one_is_refused_and_stays_as_it_is(
    dev: Dev, tmp_path: Path, queue_name: str
) -> None:
    queue = f"dev{os.getpid()}"
    second = Dev(queue, tmp_path / "kept", *port_arguments())
    assert second.process.wait(DEADLINE_SECONDS) == 2
    assert f"queue '{queue}': another eventpub dev uses it already" in second.read()
    assert "--queue-name OTHER" in second.output
    config = (dev.folder / "collector.ini").read_text()
    log = dev.folder.with_name("dev.log").read_text()
    with (tmp_path / "log").open("wb") as said:
        command = [
            sys.executable,
            "-m",
            "eventpub",
            "dev",
            "--queue-name",
            queue_name,
            "--keep",
            str(dev.folder),
        ]
        assert (
            subprocess.run(command, cwd=ROOT, stdout=said, stderr=said, timeout=60, check=False).returncode == 2
        )
    assert f"folder {dev.folder}: another eventpub dev uses it already" in (tmp_path / "log").read_text()
    assert (dev.folder / "collector.ini").read_text() == config
    assert dev.folder.with_name("dev.log").read_text() == log
    assert queue_exists(queue)


@pytest.mark.alone  # three queues of the default size, beside those that fixtures hold
def test_several_that_start_at_once_all_find_ports(tmp_path: Path, queue_name: str) -> None:
    ports = port_arguments()

    def start(number: int) -> Dev:
        folder = tmp_path / str(number)
        folder.mkdir()
        return Dev(f"{queue_name}{number}", folder / "kept", *ports)

    with ThreadPoolExecutor() as threads:
        started = list(threads.map(start, range(3)))
    codes = [None if running.process.poll() is not None else running.end() for running in started]
    assert codes == [0, 0, 0], [running.output for running in started]
    assert len({running.page for running in started}) == 3


def test_a_queue_whose_events_a_sidecar_takes_is_refused(
    queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "_END_SECONDS", 0.0)
    program = (
        "import sys; from eventpub.queue.message_queue import MessageQueue; "
        "queue = MessageQueue.open(sys.argv[2], max_messages=2, max_message_size=128); "
        "print(1, flush=True); input()"
    )
    for word, is_refused in (("application", False), ("sidecar", True)):
        with subprocess.Popen(
            [sys.executable, "-c", program, word, queue_name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == b"1\n"
            with (
                pytest.raises(ClaimedError) if is_refused else nullcontext() as refused,
                claim_queue(queue_name),
            ):
                pass
            holder.communicate(b"\n", timeout=60)
    assert refused
    assert f"({holder.pid})" in str(refused.value)


def test_ctrl_c_ends_both_and_removes_the_queue(tmp_path: Path, queue_name: str) -> None:
    dev = Dev(queue_name, tmp_path / "kept", *port_arguments())
    assert queue_exists(queue_name)
    assert dev.end() == 0
    assert not queue_exists(queue_name)
    assert "Stopping" in dev.read()
    with pytest.raises(requests.ConnectionError):
        requests.get(dev.page, timeout=10)
    for name in ("collector", "sidecar"):
        assert (dev.folder / f"{name}.ini").stat().st_mode & 0o077 == 0
        assert (dev.folder / f"{name}.log").exists()
