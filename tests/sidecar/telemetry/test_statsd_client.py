"""The client of statsd where nobody listens."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from eventpub.sidecar.telemetry.statsd_client import StatsdClient


def test_a_socket_that_takes_nothing_is_told_once_and_again_after_it_worked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "statsd.sock"
    client = StatsdClient(str(path), None)
    for _ in range(3):
        client.incr("a")
    assert [record.getMessage() for record in caplog.records] == [
        f"metrics are not sent: {path}: No such file or directory; see metrics.endpoint"
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        client.incr("b")
        assert server.recv(512) == b"b:1|c"
    client.incr("c")
    client.close()
    assert [record.getMessage().partition(":")[0] for record in caplog.records[1:]] == [
        "metrics are sent again", "metrics are not sent",
    ]  # fmt: skip


def test_a_socket_that_is_slow_is_not_waited_for_and_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "statsd.sock"))
        client = StatsdClient(str(tmp_path / "statsd.sock"), None)
        for _ in range(2_000):  # more than any queue of datagrams
            client.incr("a")
        client.close()
    assert not caplog.records
