"""A real sidecar process for tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from eventpub.queue.message_queue import MessageQueue
from support.paths import ROOT
from support.waiting import DEADLINE_SECONDS, wait_until

SECRET = "aHVudGVyMg=="  # hunter2


class SidecarProcess:
    """`python -m eventpub.sidecar` on a queue, with its spool below `folder`.

    Keyword arguments are INI keys with `_` for the first dot: batch_max_age="100 ms". `starter` is a command
    that runs the rest of its command line; with one, nothing is waited for.
    """

    def __init__(
        self, folder: Path, queue_name: str, collector_port: int, *, starter: Sequence[str] = (), **keys: str
    ) -> None:
        self.queue_name = queue_name
        self.spool = folder / "spool"
        self.config = folder / f"{queue_name}.ini"
        self.log_path = folder / f"{queue_name}.log"
        self._keys = {
            "collector.hostname": f"127.0.0.1:{collector_port}",
            "collector.scheme": "http",
            "key.name": "test",
            "key.secret": SECRET,
            "max_queue_size": "10",
            "max_message_size": "8192",
            "batch.max_age": "50 ms",
            "retry.min": "50 ms",
            "retry.max": "200 ms",
            "spool.dir": str(self.spool),
        }
        self.configure(**keys)
        self._environment: dict[str, str] = {}
        self._starter = starter
        if starter:
            self.launch()
        else:
            self.start()

    def configure(self, **keys: str) -> None:
        """Rewrite the INI file; SIGHUP makes a running sidecar read it."""
        self._keys |= {
            key if key in self._keys or "." in key else key.replace("_", ".", 1): keys[key] for key in keys
        }
        lines = (f"{key} = {value}" for key, value in self._keys.items() if value)
        self.config.write_text(f"[event-publisher:{self.queue_name}]\n" + "\n".join(lines) + "\n")

    def start(self, *arguments: str) -> None:
        """Start it, and wait until it receives."""
        self.launch(*arguments)
        wait_until(lambda: "started queue=" in self.log() or self.process.poll() is not None, "it starts")
        assert self.process.poll() is None, self.log()

    def launch(self, *arguments: str) -> None:
        """Start the process, and do not wait for it."""
        self.log_path.touch()
        self._log_start = self.log_path.stat().st_size
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._starter,
                    sys.executable,
                    "-m",
                    "eventpub.sidecar",
                    "--queue-name",
                    self.queue_name,
                    *arguments,
                    self.config,
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | self._environment,
            )

    def log(self) -> str:
        """Return what the present process has logged."""
        return self.log_path.read_bytes()[self._log_start :].decode()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def pause(self) -> None:
        """Stop it with SIGSTOP, and wait until all its threads stand still: one may still receive meanwhile."""
        self.signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        wait_until(
            lambda: all(b") T " in (task / "stat").read_bytes() for task in tasks.iterdir()), "it stands still"
        )

    def stop(self) -> int:
        """Stop it as a supervisor does, and return its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)

    def kill(self) -> None:
        """Kill it without warning."""
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def put(self, *messages: bytes) -> None:
        """Put messages into its queue, each as soon as there is room."""
        with MessageQueue.open(self.queue_name) as queue:
            for message in messages:
                wait_until(lambda m=message: queue.send(m), "the queue has room: receiving goes on")

    def ledger(self) -> dict[str, int]:
        """Return the books as the last process wrote them when it stopped."""
        line = re.search(r"stopped (received=.* unaccounted=-?\d+)", self.log())
        assert line, self.log()
        return {key: int(value) for key, value in re.findall(r"(\w+)=(-?\d+)", line[1])}

    def batches(self) -> list[Path]:
        """Return the sealed batch files of the spool."""
        return sorted(self.spool.glob("*/[0-9]*/*.batch"))

    def dead_letters(self) -> list[Path]:
        return sorted(self.spool.glob("*/dead/*.json"))
