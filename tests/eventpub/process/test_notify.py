"""What a service manager is told: real datagrams."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventpub.process.notify import Supervisor
from eventpub.process.sockets import short_name


def read(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "long path", "abstract"])
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        if request.param == "abstract":
            name = f"@eventpub-test-{os.getpid()}"
            manager.bind("\0" + name[1:])
        else:
            folder = tmp_path / ("x" * 150 if request.param == "long path" else "x")
            folder.mkdir()
            with short_name(folder / "notify") as short:
                manager.bind(short)
            name = str(folder / "notify")
        yield name, manager


def test_everything_is_told(named: tuple[str, socket.socket]) -> None:
    name, manager = named
    watched = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    supervisor = Supervisor({"NOTIFY_SOCKET": name, **watched})
    assert (supervisor.is_there, supervisor.watchdog_seconds) == (True, 3.0)
    supervisor.ready()
    assert read(manager) == ["READY=1"]
    before = time.monotonic_ns() // 1000
    supervisor.reloading()
    first, second = read(manager)
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    supervisor.status("paused:\nthe spool is full é")
    supervisor.status("paused: the spool is full é")  # nothing new
    assert read(manager) == ["STATUS=paused: the spool is full é"]
    supervisor.alive()
    assert read(manager) == ["WATCHDOG=1"]
    supervisor.stopping()
    assert read(manager) == ["STOPPING=1"]
    supervisor.close()
    supervisor.ready()


def test_nobody_is_told_where_there_is_no_service_manager(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": "relative"}, {"WATCHDOG_USEC": "1000000"}):
        supervisor = Supervisor(environment)
        assert (supervisor.is_there, supervisor.watchdog_seconds) == (False, None)
        supervisor.ready()
        supervisor.close()
    gone = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.ready()
    gone.status("nobody hears it")
    gone.close()


@pytest.mark.parametrize(
    "words", [{"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_a_watchdog_of_another_process_is_none(words: dict[str, str], tmp_path: Path) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone"), **words})
    assert supervisor.watchdog_seconds is None
    supervisor.alive()
    supervisor.close()
