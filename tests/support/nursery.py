"""Starts sidecars and collectors in 20 ms instead of 400: a process that has imported both forks one for each.

`python -m support.nursery` obeys one JSON list a line on stdin, and answers each with one line:

| command                                | answer                                                           |
|----------------------------------------|------------------------------------------------------------------|
| `["sidecar", LOG, DISK, ARGUMENT...]`  | its process id; DISK is null or says what is wrong with its disk |
| `["collector", LOG, ARGUMENT...]`      | its process id                                                   |
| `["run", NAME, OUT, ERR, ARGUMENT...]` | the same of a program that has two outputs                       |
| `["wait", PID]`                        | its exit code, below 0 if a signal ended it                      |
| `["poll", PID]`                        | the same, or null while it runs                                  |

`Nursery` and `NurserySidecar` are the side of the tests. What is forked is the whole program; only a sidecar's
disk may be another.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.paths import ROOT
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until


class Nursery:
    """The process that the others are forked from; `prefix` runs it below another command, such as unshare."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "support.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )
        self.pid: int = self._ask("pid")

    def sidecar(self, log: Path, disk: dict[str, Any], *arguments: str) -> NurseryChild:
        return NurseryChild(self, self._ask("sidecar", str(log), disk or None, *arguments))

    def collector(self, log: Path, *arguments: str) -> NurseryChild:
        return NurseryChild(self, self._ask("collector", str(log), *arguments))

    def run(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the program `sidecar` or `collector` to its end, in the checkout; return its output as text."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            words = [str(argument) for argument in arguments]
            code = self._ask("wait", self._ask("run", name, str(out), str(err), *words))
            return subprocess.CompletedProcess([name, *words], code, out.read_text(), err.read_text())

    def close(self) -> None:
        """End it, and with it all that it started and that still runs."""
        self._process.communicate()

    def _ask(self, *command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class NurseryChild:
    """A forked process, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery._ask("poll", self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002, the nursery waits with its own deadline
        if self.returncode is None:
            self.returncode = self._nursery._ask("wait", self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class NurserySidecar(SidecarProcess):
    """A sidecar from a nursery; `disk` says how the disk of its next process misbehaves."""

    def __init__(
        self,
        nursery: Nursery,
        folder: Path,
        queue_name: str,
        collector_port: int,
        *,
        disk: dict[str, Any] | None = None,
        **keys: str,
    ) -> None:
        self._nursery = nursery
        self.disk = disk or {}
        super().__init__(folder, queue_name, collector_port, **keys)

    def start(self, *arguments: str) -> None:
        """Start it, and wait until it receives; one with a disk that kills it may end before that."""
        if not self.disk:
            super().start(*arguments)
            return
        self.launch()
        wait_until(lambda: self.process.poll() is not None or "started queue=" in self.log(), "it starts")
        assert self.process.poll() in (None, -signal.SIGKILL), self.log()

    def launch(self, *_arguments: str) -> None:
        self.log_path.touch()
        self._log_start = self.log_path.stat().st_size
        arguments = ("--queue-name", self.queue_name, str(self.config))
        self.process = self._nursery.sidecar(self.log_path, self.disk, *arguments)


_running: set[int] = set()


def _serve() -> None:
    answers = {
        "pid": os.getpid, "sidecar": _sidecar, "collector": _collector, "run": _run,
        "wait": _wait, "poll": _poll,
    }  # fmt: skip
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        answer = answers[command](*arguments)
        print(json.dumps(answer), flush=True)
    for pid in _running:
        os.kill(pid, signal.SIGKILL)


def _wait(pid: int, options: int = 0) -> int | None:
    signal.alarm(60)  # what hangs fails its test
    ended, status = os.waitpid(pid, options)
    signal.alarm(0)
    if not ended:
        return None
    _running.remove(pid)
    return os.waitstatus_to_exitcode(status)


def _poll(pid: int) -> int | None:
    return _wait(pid, os.WNOHANG)


def _sidecar(log: str, disk: dict[str, Any] | None, *arguments: str) -> int:
    if disk is None:
        return _start(log, lambda: sidecar.main(arguments))
    _, queue_name, config = arguments
    return _start(log, lambda: _run_on(_disk(**disk), queue_name, Path(config)))


def _collector(log: str, *arguments: str) -> int:
    return _start(log, lambda: collector.main(arguments))


def _run(name: str, out: str, err: str, *arguments: str) -> int:
    programs = {"sidecar": sidecar, "collector": collector}
    return _start(err, lambda: programs[name].main(arguments), out)


def _start(log: str, program: Callable[[], int], out: str = "") -> int:
    sys.stdout.flush()
    opened = [os.open(os.devnull, os.O_RDONLY)]  # before the child is: it may not be allowed to for a moment
    opened += [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for path in (out or log, log)]
    pid = fork()
    if pid:
        _running.add(pid)
        for descriptor in opened:
            os.close(descriptor)
        return pid
    try:
        for number, descriptor in enumerate(opened):
            os.dup2(descriptor, number)
            os.close(descriptor)
        try:
            code = program()
        except SystemExit as stop:
            code = stop.code
        sys.stdout.flush()
        os._exit(code)
    except BaseException:
        logging.getLogger("nursery").exception("the program broke")
        os._exit(70)


def _run_on(disk: Disk, queue_name: str, config: Path) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with contextlib.suppress(StoppedEarly):
        Daemon(load_config(config, queue_name), config, queue_name, disk=disk).run()
    return 0


def _disk(kind: str, **arguments: Any) -> Disk:
    """Make a `killing` disk of these arguments, or a `hanging` or `switched` one."""
    if kind == "killing":
        return PointKillingDisk(**arguments)
    if kind == "hanging":
        return HangingDisk(Path(arguments["switch"]))
    return SwitchedDisk(Path(arguments["switch"]))


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

    import logging

    from eventpub.collector import cli as collector
    from eventpub.sidecar import cli as sidecar
    from eventpub.sidecar.config import load_config
    from eventpub.sidecar.daemon import Daemon
    from eventpub.sidecar.opening import StoppedEarly
    from eventpub.sidecar.spool.disk import Disk
    from support.disks import HangingDisk, PointKillingDisk, SwitchedDisk

    fork = monkey.get_original("os", "fork")  # gevent's own would start a loop here, for all children to share
    _serve()
