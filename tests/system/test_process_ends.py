"""Events that wait in an `AsyncBackend` when a server ends in an ordinary way: none is lost.

docs/integrations.md has the table; each server is a real one, ended by SIGTERM while events wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT
from support.ports import free_port
from support.waiting import wait_until

EVENTS = 40

SHOP = """
import json, os, time
from pathlib import Path

from eventpub.integrations.asgi import EventPubMiddleware
from eventpub.integrations.lifespan import drained
from eventpub.testing import MemoryQueue
from eventpub.tracking import AsyncBackend, Tracker

folder = Path(os.environ["SHOP_FOLDER"])


class Slow:
    only_reads = True

    def send(self, event):
        time.sleep(0.02)
        with (folder / "events").open("a") as lines:
            lines.write(event["name"] + "\\n")


tracker = Tracker({"slow": AsyncBackend(Slow(), **json.loads(os.environ.get("SHOP_BACKEND", "{}")))})


def wsgi(environ, start_response):
    tracker.emit(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def plain(scope, receive, send):
    assert scope["type"] == "http"
    tracker.emit(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


asgi = EventPubMiddleware(plain, {"queue": MemoryQueue(), "serializer": "json"})
lifespan = drained(plain)
"""

GUNICORN = ("-m", "gunicorn", "--log-level", "warning", "--graceful-timeout", "20")
SERVERS = {
    "uvicorn": ("-m", "uvicorn", "shop:asgi", "--log-level", "warning"),
    "uvicorn, drained()": ("-m", "uvicorn", "shop:lifespan", "--log-level", "warning"),
    "uvicorn --loop uvloop --http httptools": (
        "-m", "uvicorn", "shop:asgi", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools",
    ),
    "uvicorn --workers 2": ("-m", "uvicorn", "shop:asgi", "--log-level", "warning", "--workers", "2"),
    "hypercorn": ("-m", "hypercorn", "shop:asgi"),
    "hypercorn --workers 2": ("-m", "hypercorn", "shop:asgi", "--workers", "2"),
    "hypercorn --workers 2 -k uvloop": ("-m", "hypercorn", "shop:asgi", "--workers", "2", "-k", "uvloop"),
    "hypercorn --workers 2 -k trio": ("-m", "hypercorn", "shop:asgi", "--workers", "2", "-k", "trio"),
    "gunicorn": (*GUNICORN, "shop:wsgi"),
    "gunicorn -k gthread": (*GUNICORN, "shop:wsgi", "-k", "gthread", "--threads", "4"),
    "gunicorn -k gevent": (*GUNICORN, "shop:wsgi", "-k", "gevent"),
    "gunicorn -k gevent --preload": (*GUNICORN, "shop:wsgi", "-k", "gevent", "--preload"),
    "gunicorn -k UvicornWorker": (*GUNICORN, "shop:asgi", "-k", "uvicorn.workers.UvicornWorker"),
    "gunicorn --max-requests": (*GUNICORN, "shop:wsgi", "--max-requests", "15"),
}  # fmt: skip


class Server:
    """A server of the shop in a process of its own."""

    def __init__(self, folder: Path, name: str, **environment: str) -> None:
        self.folder = folder
        (folder / "shop.py").write_text(SHOP, encoding="utf-8")
        self.port = free_port()
        is_uvicorn = "uvicorn" in SERVERS[name][1]
        bind = ("--port", str(self.port)) if is_uvicorn else ("--bind", f"127.0.0.1:{self.port}")
        own = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "SHOP_FOLDER": str(folder)}
        self.log = (folder / "log").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, *SERVERS[name], *bind],
            cwd=folder,
            env=os.environ | {"PYTHONWARNINGS": "ignore"} | own | environment,
            stdout=self.log,
            stderr=self.log,
        )

    def get(self, path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while received := connection.recv(65536):
                answer += received
        return answer

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get("/ready").endswith(b"ok")
        return False

    def events(self) -> list[str]:
        path = self.folder / "events"
        return [name for name in path.read_text().split() if name != "/ready"] if path.exists() else []

    def end(self) -> str:
        """Ask the server to end, and return what it said."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.seek(0)
        return self.log.read().decode()


@contextlib.contextmanager
def running(folder: Path, name: str, **environment: str) -> Iterator[Server]:
    server = Server(folder, name, **environment)
    try:
        wait_until(lambda: server.process.poll() is not None or server.answers(), f"{name} answers")
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        server.log.close()


@pytest.mark.parametrize("name", SERVERS)
def test_what_waits_when_a_server_is_told_to_end_is_delivered(name: str, tmp_path: Path):
    with running(tmp_path, name) as server:
        for number in range(EVENTS):
            assert b"200" in server.get(f"/{number}").split(b"\r\n")[0]
        assert len(server.events()) < EVENTS, "events wait"
        said = server.end()
        assert sorted(server.events(), key=lambda path: int(path[1:])) == [f"/{n}" for n in range(EVENTS)], said


def test_a_background_that_blocks_serves_greenlets_of_a_process_that_was_forked_before_gevent_patched(
    tmp_path: Path,
):
    backend = json.dumps({"when_full": "block", "max_events": 1, "wait_seconds": 20})
    with running(tmp_path, "gunicorn -k gevent --preload", SHOP_BACKEND=backend) as server:
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda number=number: answers.append(server.get(f"/{number}")))  # type: ignore[misc]
            for number in range(EVENTS)
        ]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.endswith(b"ok") for answer in answers] == [True] * EVENTS
        assert time.monotonic() - started < 15
        said = server.end()
    assert "lost" not in said
    assert len(server.events()) == EVENTS
