"""What the tests of the integrations share: headers, the events of a queue, examples as real servers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from eventpub.queue.message_queue import MessageQueue
from eventpub.schemas.event.ttypes import Event
from eventpub.serialization.thrift_json_decode import decode_struct
from support.paths import ROOT
from support.ports import free_port
from support.waiting import DEADLINE_SECONDS, wait_until

EXAMPLES = ROOT / "docs/examples"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {
    "Host": "shop.example.com",
    "User-Agent": "kettle/1.0",
    "X-Request-ID": "r-17",
    "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01",
}
SMALL = {
    "max_queue_size": "10",
    "max_message_size": "1024",
}  # so that many fit a fresh kernel
SMALL_AUTO = {**SMALL, "serializer": "auto"}  # whose events are read at sight


def take_events(queue_name: str) -> list[Any]:
    """Take all events, which are JSON in both formats."""
    with MessageQueue.open(queue_name, create=False) as queue:
        return [json.loads(message) for message in iter(queue.receive, None)]


def requests_of(queue_name: str) -> list[Any]:
    """Take all events, and return what each says about its request; None where it says nothing."""
    return [event["context"].get("request") for event in take_events(queue_name)]


def make_small(queue_name: str) -> None:
    """Make the queue of a program that would make a large one."""
    MessageQueue.open(queue_name, create=True, max_messages=10, max_message_size=1024).close()


def buy_from_example(name: str, queue_name: str) -> list[Event]:
    """Run an example as its first line says, send it the request of that line, and return the events it put."""
    make_small(queue_name)
    with _server(name, queue_name) as url:
        request = urllib.request.Request(f"{url}/buy/oolong", method="POST", headers=HEADERS)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.read() == b"sold oolong\n"
    return [decode_struct(Event, event) for event in take_events(queue_name)]


def start_example(name: str, queue_name: str) -> tuple[int, str]:
    """Start an example that is not going to serve, and return its exit code and what it said."""
    done = subprocess.run(
        _command(name, free_port()),
        cwd=ROOT,
        env=_environment(queue_name),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def _server(name: str, queue_name: str) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        _command(name, port),
        cwd=ROOT,
        env=_environment(queue_name),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), f"{name} answers")
        assert process.poll() is None, process.communicate()[0].decode()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def _command(name: str, port: int) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), str(port)]


def _environment(queue_name: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "SHOP_QUEUE": queue_name}


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False
