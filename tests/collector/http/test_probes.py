"""What load balancers ask to know whether a collector is well: cheap, silent, never in a batch's way."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.collector_process import CollectorProcess
from support.waiting import wait_until

BODY = b'[{"example": "value"}]'


@pytest.fixture(scope="module")
def collector(tmp_path_factory, nursery) -> Iterator[CollectorProcess]:
    with CollectorProcess(tmp_path_factory.mktemp("collector"), faults=None, nursery=nursery) as collector:
        yield collector


@pytest.fixture
def connection(collector) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", collector.port, timeout=10)) as connection:
        yield connection


def ask(
    connection: http.client.HTTPConnection, method: str, path: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(method, path)
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/health", 200),
        ("HEAD", "/nowhere", 404),
        ("HEAD", "/v2", 405),
        ("OPTIONS", "/health", 200),
        ("OPTIONS", "/", 200),
        ("OPTIONS", "*", 200),
        ("OPTIONS", "/v2j", 200),
        ("OPTIONS", "/nowhere", 404),
        ("GET", "/", 404),
    ],
)
def test_probes_are_answered_and_leave_the_connection_usable(connection, method, path, status):
    for _ in range(2):
        response, body = ask(connection, method, path)
        assert response.status == status
        assert int(response.headers["Content-Length"]) > 0
        assert bool(body) == (method != "HEAD")
    response, body = ask(connection, "GET", "/health")
    assert (response.status, json.loads(body)["status"]) == (200, "ok")


def test_a_head_that_is_refused_has_no_body_either(collector):
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(b"HEAD /health HTTP/1.1\r\nno header\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("path", "allowed"), [("/health", "GET, HEAD, OPTIONS"), ("/v2", "POST, OPTIONS")])
def test_options_tell_what_is_allowed(connection, path, allowed):
    assert ask(connection, "OPTIONS", path)[0].headers["Allow"] == allowed


def test_haproxys_check_as_it_is_sent_by_default(collector):
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(b"OPTIONS / HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 ")


def test_probes_that_succeed_and_ports_that_are_looked_at_are_not_in_the_log(collector, connection):
    for method in ("GET", "HEAD", "OPTIONS"):
        ask(connection, method, "/health")
    socket.create_connection(("127.0.0.1", collector.port), timeout=10).close()
    ask(connection, "GET", "/a-line-after-them")
    wait_until(lambda: "/a-line-after-them" in collector.log(), "what comes last is there")
    assert "path=/health" not in collector.log()


def test_probes_while_the_store_is_locked_delay_no_batch(tmp_path, nursery):
    settings = {"store.busy_timeout": "2 s"}
    with (
        CollectorProcess(tmp_path, faults=None, settings=settings, nursery=nursery) as collector,
        contextlib.closing(sqlite3.connect(collector.store_path, isolation_level=None)) as other,
        ThreadPoolExecutor(6) as threads,
    ):
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        batch = threads.submit(collector.post, BODY)
        probes = [threads.submit(requests.get, f"{collector.url}/health", timeout=10) for _ in range(5)]
        assert {probe.result().status_code for probe in probes} == {200}  # nothing has failed so far
        assert time.monotonic() - started < 2  # they did not wait for what the batch waits for
        assert batch.result().status_code == 503
        assert requests.get(f"{collector.url}/health", timeout=10).status_code == 503
        line = "reason='database is locked' error=store_unavailable"
        wait_until(lambda: line in collector.log(), "the line, which is written after the answer")
        other.execute("ROLLBACK")
        assert requests.get(f"{collector.url}/health", timeout=10).status_code == 200
