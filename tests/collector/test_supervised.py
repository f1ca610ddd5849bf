"""What a service manager hears of a collector."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_manager_hears_that_it_serves_lives_and_stops(tmp_path: Path, workers: str) -> None:
    config = tmp_path / "collector.ini"
    store = tmp_path / "events.sqlite"
    config.write_text(f"[collector]\nlisten = 127.0.0.1:0\nstore.path = {store}\n[keys]\ntest = aHVudGVyMg==\n")
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (tmp_path / "log").open("wb") as log:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)

        def hear(line: str) -> None:
            while not any(words.startswith(line) for words in heard):
                heard.extend(manager.recv(4096).decode().split("\n"))

        running = subprocess.Popen(
            [sys.executable, "-m", "eventpub.collector", "--workers", workers, config],
            cwd=ROOT, stdout=log, stderr=log,
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"},
        )  # fmt: skip
        try:
            for line in ("READY=1", "STATUS=serves http://127.0.0.1:", "WATCHDOG=1"):
                hear(line)
            heard.clear()
            running.send_signal(signal.SIGHUP)
            for line in ("RELOADING=1", "MONOTONIC_USEC=", "READY=1"):
                hear(line)
            running.send_signal(signal.SIGTERM)
            hear("STOPPING=1")
            running.wait(30)
        finally:
            running.kill()
            running.wait()
