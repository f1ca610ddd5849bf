"""Programs that watch others, as operators run them: Prometheus from Debian, and statsd from npm."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from support.needs import lack, need
from support.paths import ROOT
from support.ports import free_port
from support.waiting import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from typing_extensions import Self

START_SECONDS = 60.0
STATSD = Path(f"{sys.prefix}-statsd/node_modules/statsd/stats.js")  # `make test-watched` has installed it


def check_metrics(address: str) -> str:
    """Return what Prometheus's own tool has to say about `/metrics`; nothing is good."""
    command = [need("promtool", "apt-get install prometheus"), "check", "metrics"]
    text = requests.get(f"http://{address}/metrics", timeout=DEADLINE_SECONDS).content
    assert text
    checked = subprocess.run(command, input=text, capture_output=True, check=False)
    said = (checked.stdout + checked.stderr).decode()
    return said if not checked.returncode else f"exit code {checked.returncode}\n{said}"


class Watcher:
    """A process that is ended with the block."""

    def __init__(self, folder: Path, command: Sequence[str | Path]) -> None:
        self._log = folder / "watcher.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def is_running(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        return True


class Prometheus(Watcher):
    """A Prometheus that scrapes each second, with the rules of deploy/.

    Args:
        folder: its configuration, data and log.
        jobs: the address of each job's one target.
    """

    def __init__(self, folder: Path, jobs: Mapping[str, str]) -> None:
        program = need("prometheus", "apt-get install prometheus")
        listen = f"127.0.0.1:{free_port()}"
        self.url = f"http://{listen}"
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "deploy/prometheus/eventpub.rules.yml")],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in jobs.items()
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        super().__init__(
            folder,
            [
                program,
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                f"--web.listen-address={listen}",
            ],
        )
        wait_until(self._is_ready, "Prometheus is ready", START_SECONDS)

    def ask(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return the `data` of an answer of the HTTP API."""
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=DEADLINE_SECONDS).json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data

    def query(self, expression: str) -> list[float]:
        """Return the present values of an expression."""
        result = self.ask("query", query=expression)["result"]
        return [float(sample["value"][1]) for sample in result]

    def _is_ready(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return self.is_running() and requests.get(f"{self.url}/-/ready", timeout=10).ok
        return False


class StatsdDaemon(Watcher):
    """The daemon of npm, whose numbers are read at its management port; it forgets none of them."""

    def __init__(self, folder: Path) -> None:
        node = need("node", "apt-get install nodejs npm")
        if not STATSD.exists():
            lack("statsd", "apt-get install npm; make test-watched")
        self._port, self._management_port = free_port(socket.SOCK_DGRAM), free_port()
        config = {
            "address": "127.0.0.1",
            "port": self._port,
            "mgmt_address": "127.0.0.1",
            "mgmt_port": self._management_port,
            "backends": [],
            "flushInterval": 3_600_000,  # ms; a flush sets counters to 0
        }
        (folder / "statsd.js").write_text(json.dumps(config))  # JSON is JavaScript
        super().__init__(folder, [node, STATSD, "statsd.js"])
        wait_until(self._takes_datagrams, "statsd takes datagrams", START_SECONDS)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._port}"

    def read(self, kind: str) -> dict[str, str]:
        """Return `counters`, `timers` or `gauges` by name, each value as it is told."""
        with socket.create_connection(("127.0.0.1", self._management_port), DEADLINE_SECONDS) as connection:
            connection.sendall(f"{kind}\n".encode())
            told = b""
            while not told.endswith(b"END\n\n"):
                part = connection.recv(65_536)
                assert part, told
                told += part
        return dict(re.findall(r"'?([\w.-]+)'?: (\[[^]]*\]|-?[\d.]+)", told.decode()))

    def _takes_datagrams(self) -> bool:
        with contextlib.suppress(ConnectionRefusedError), socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"probe:1|c", ("127.0.0.1", self._port))
            return self.is_running() and "probe" in self.read("counters")
        return False
