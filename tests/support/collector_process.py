"""A real collector in a process of its own, for every test that needs one to send to.

with CollectorProcess(tmp_path, faults=[{"status": 503, "times": 2}]) as collector:
    ...  # send to collector.url, or give a sidecar collector.hostname
    assert [event["event"] for event in collector.events()] == [{"example": "value"}]
    assert [request["status"] for request in collector.requests()] == [503, 503, 200]
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from eventpub import wire
from support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from support.nursery import Nursery, NurseryChild

KEY_NAME = "test"
SECRET = b"hunter2"
START_SECONDS = 20.0  # a start takes 0.3 s; this is for a machine that does much else
STOP_SECONDS = 20.0


class CollectorProcess:
    """A collector on a free port of the loopback; as a context manager it is stopped at the end.

    Args:
        folder: a test's `tmp_path`; configuration, store and log are made in it.
        keys: name and secret, or secrets, of each key.
        faults: the script to start with (see eventpub.collector.faults), None for no fault mode at all;
            `set_faults` and `requests` need it.
        settings: further keys of the `[collector]` section, such as `{"max_body_size": "10 KiB"}`.
        arguments: further words of the command line.
        nursery: what to fork it from; without one it is a command, as users start it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keys: Mapping[str, bytes | Sequence[bytes]] | None = None,
        faults: Sequence[Mapping[str, Any]] | None = (),
        settings: Mapping[str, str] | None = None,
        schemas: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        nursery: Nursery | None = None,
    ) -> None:
        self.store_path = folder / "events.sqlite"
        self.log_path = folder / "collector.log"
        self.config_path = folder / "collector.ini"
        self.url = ""
        self.port = 0  # the one it gets at its first start is kept
        self._ready_path = folder / "collector.url"
        self._arguments = [*arguments]
        self._keys = keys or {KEY_NAME: SECRET}
        self._schemas = schemas or {}
        self._settings = {**(settings or {})}
        if "store" not in self._settings:
            self._settings = {"store.path": str(self.store_path), **self._settings}
        if faults is not None:
            script_path = folder / "faults.json"
            script_path.write_text(json.dumps([*faults]))
            self._arguments += ["--faults", str(script_path)]
        self._nursery = nursery
        self._events: list[dict[str, Any]] = []  # as far as they were read: tests ask again and again
        self.process: subprocess.Popen[bytes] | NurseryChild | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def page_url(self) -> str:
        """Where its page is, if `page.listen` is among the settings."""
        *_, url = re.findall(r"^page on (\S+)$", self.log(), re.MULTILINE)
        return str(url)

    @property
    def hostname(self) -> str:
        """What goes into `collector.hostname` of a sidecar's configuration."""
        return f"127.0.0.1:{self.port}"

    def configure(self, *, keys: Mapping[str, bytes | Sequence[bytes]] | None = None, **settings: str) -> None:
        """Rewrite the INI file; SIGHUP makes a running collector read its keys."""
        self._keys = keys or self._keys
        self._settings |= settings
        self._write_config()

    def start(self) -> None:
        """Start it, again on the same port if it ran before, and return once it serves."""
        self._write_config()
        self._ready_path.unlink(missing_ok=True)
        arguments = ["--ready-file", str(self._ready_path), *self._arguments, str(self.config_path)]
        if self._nursery is not None:
            self.process = self._nursery.collector(self.log_path, *arguments)
        else:
            command = [sys.executable, "-m", "eventpub.collector", *arguments]
            with self.log_path.open("ab") as log:
                self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready_path.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the collector did not start:\n{self.log()}")
            time.sleep(0.01)
        self.url = self._ready_path.read_text().strip()
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        """Stop it with SIGTERM and return its exit code; again does nothing more."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """Return what it wrote to stdout and stderr, over all starts."""
        return self.log_path.read_text()

    def post(
        self,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        version: str = "2j",
        sent: bytes | None = None,
    ) -> requests.Response:
        """Post `body` as a sender would, signed with the first key; `sent` is its encoded form, if any."""
        name, secrets = next(iter(self._keys.items()))
        secret = secrets if isinstance(secrets, bytes) else secrets[0]
        return requests.post(
            f"{self.url}/v{version}",
            data=body if sent is None else sent,
            headers={wire.SIGNATURE_HEADER: wire.signature(name, secret, body), **(headers or {})},
            timeout=10,
        )

    def events(self, batch_id: str | None = None) -> list[dict[str, Any]]:
        """Return the stored events, of one batch or all, as they came: a dict a row, its `event` decoded."""
        last = self._events[-1]["id"] if self._events else 0
        with contextlib.closing(sqlite3.connect(self.store_path)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM events WHERE id > ? ORDER BY id", (last,)).fetchall()
        self._events += ({**dict(row), "event": json.loads(row["event"])} for row in rows)
        return [row for row in self._events if batch_id is None or row["batch_id"] == batch_id]

    def set_faults(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """Replace the script: the next POST takes the first of `steps`."""
        self._call("PUT", "/faults", json.dumps([*steps]).encode())

    def requests(self) -> list[dict[str, Any]]:
        """Return the POSTs seen since the last start, oldest first (see eventpub.collector.faults)."""
        requests: list[dict[str, Any]] = self._call("GET", "/faults/log")["requests"]
        return requests

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def _write_config(self) -> None:
        lines = ["[collector]", f"listen = 127.0.0.1:{self.port}"]
        lines += [f"{key} = {value}" for key, value in self._settings.items()]
        lines += ["[keys]"]
        for name, secrets in self._keys.items():
            several = [secrets] if isinstance(secrets, bytes) else secrets
            lines.append(f"{name} = {' '.join(base64.b64encode(secret).decode() for secret in several)}")
        lines += ["[schemas]", *(f"{name} = {schema}" for name, schema in self._schemas.items())]
        self.config_path.write_text(os.linesep.join([*lines, ""]))
