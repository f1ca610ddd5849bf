"""The listening socket: its bounds, its TLS, its end."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from support.collector_process import CollectorProcess
from support.paths import CERTIFICATES
from support.waiting import wait_until

from eventpub import wire
from eventpub.cli.exit_codes import EXIT_NOT_YET

BODY = b'[{"example": "value"}]'
HEALTH = b"GET /health HTTP/1.1\r\n\r\n"
AUTHORITY, SERVER, CLIENT = (str(CERTIFICATES / name) for name in ("ca.pem", "server.pem", "client.pem"))


def connect(collector: CollectorProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", collector.port), timeout=10)


def terminate(collector: CollectorProcess) -> None:
    collector.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refuses(collector), "the collector stops accepting")


def refuses(collector: CollectorProcess) -> bool:
    try:
        connect(collector).close()
    except ConnectionError:
        return True
    return False


# --- its end ---------------------------------------------------------------------------------------------


def test_sigterm_lets_a_request_in_flight_finish_and_store(nursery, tmp_path):
    with (
        CollectorProcess(tmp_path, faults=[{"delay": 0.5}], nursery=nursery) as collector,
        ThreadPoolExecutor() as threads,
    ):
        answer = threads.submit(collector.post, BODY)
        wait_until(collector.requests, "the request is in flight")
        terminate(collector)
        assert answer.result().status_code == 200
        assert answer.result().headers["Connection"] == "close"
        assert collector.process.wait(10) == 0
        assert [row["event"] for row in collector.events()] == [{"example": "value"}]
        assert "requests_cut_off=0" in collector.log()


def test_idle_connections_do_not_delay_the_end(nursery, tmp_path):
    with (
        CollectorProcess(tmp_path, nursery=nursery) as collector,
        connect(collector) as used,
        connect(collector) as unused,
    ):
        used.sendall(HEALTH)
        assert used.recv(4).startswith(b"HTTP")
        started = time.monotonic()
        assert collector.stop() == 0
        assert time.monotonic() - started < 5  # timeout.stop is 10 s, timeout.idle 75 s
        assert used.makefile("rb").read().endswith(b"}\n")
        assert unused.recv(1) == b""


def test_requests_that_take_too_long_are_cut_off_and_the_exit_code_tells(nursery, tmp_path):
    settings = {"timeout.stop": "200 ms"}
    with CollectorProcess(tmp_path, faults=[{"delay": 60}], settings=settings, nursery=nursery) as collector:
        with ThreadPoolExecutor() as threads:
            answer = threads.submit(collector.post, BODY)
            wait_until(collector.requests, "the request is in flight")
            assert collector.stop() == EXIT_NOT_YET
            assert answer.exception() is not None or answer.result().status_code == 500
        assert "requests_cut_off=1" in collector.log()
        assert collector.events() == []


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(nursery, tmp_path, second):
    with (
        CollectorProcess(tmp_path, faults=[{"delay": 60}], nursery=nursery) as collector,
        ThreadPoolExecutor() as threads,
    ):
        answer = threads.submit(collector.post, BODY)
        wait_until(collector.requests, "the request is in flight")
        terminate(collector)
        started = time.monotonic()
        collector.process.send_signal(second)
        assert collector.process.wait(10) == EXIT_NOT_YET
        assert time.monotonic() - started < 5
        assert isinstance(answer.exception(), requests.ConnectionError)


# --- its bounds ------------------------------------------------------------------------------------------


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side ends the connection, which must not happen with an answer."""
    connection.settimeout(10)
    return connection.recv(1) == b""


def answers(connection: socket.socket, request: bytes = HEALTH) -> bool:
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"}\n"):
        answer += connection.recv(65536)
    return answer.startswith(b"HTTP/1.1 200")


def test_the_connection_that_is_idle_longest_goes_when_another_one_comes(nursery, tmp_path):
    with (
        CollectorProcess(
            tmp_path, settings={"max_connections": "2"}, faults=None, nursery=nursery
        ) as collector,
        connect(collector) as first,
        connect(collector) as second,
    ):
        assert answers(first)
        assert answers(second)
        assert answers(first)  # now the second is idle longer
        with connect(collector) as third:
            assert answers(third)
            assert is_closed(second)
            assert answers(first)
        assert "all 2 connections are taken" in collector.log()


def test_idle_connections_however_many_do_not_keep_senders_out(nursery, tmp_path):
    with (
        CollectorProcess(tmp_path, settings={"max_connections": "20"}, nursery=nursery) as collector,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(200):
            stack.enter_context(connect(collector))
        for _ in range(3):
            assert collector.post(BODY).status_code == 200  # timeout.idle is 75 s


@pytest.mark.parametrize(
    "beginning", [b"P", b"POST /v2j HTTP/1.1\r\nContent-Length: 99\r\n\r\n[", b"GET /a HTTP/1.1\r\n\r\nGET"]
)
def test_peers_that_fall_silent_within_a_request_do_not_keep_senders_out(nursery, tmp_path, beginning):
    with (
        CollectorProcess(tmp_path, settings={"max_connections": "4"}, nursery=nursery) as collector,
        contextlib.ExitStack() as stack,
    ):
        silent = [stack.enter_context(connect(collector)) for _ in range(40)]
        for connection in silent[-4:]:
            connection.sendall(beginning)
        time.sleep(0.1)
        assert collector.post(BODY).status_code == 200
        assert any(b" 503 " in connection.makefile("rb").read() for connection in silent[-4:-2])


def test_peers_that_do_not_read_their_answers_do_not_keep_senders_out(nursery, tmp_path):
    settings = {"max_connections": "2"}
    with (
        CollectorProcess(tmp_path, settings=settings, nursery=nursery) as collector,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(2):
            deaf = stack.enter_context(connect(collector))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                while True:  # until the buffers of both sides are full
                    deaf.sendall(b"GET /nowhere HTTP/1.1\r\n\r\n" * 1000)
        assert collector.post(BODY).status_code == 200


def has_read(collector: CollectorProcess, client: socket.socket) -> bool:
    """Tell whether nothing that a client has sent is left in the kernel, without a connection of one's own."""
    ends = (collector.port, client.getsockname()[1])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (int(local[-4:], 16), int(remote[-4:], 16)) == ends:
            return queues.endswith(":00000000")
    return False


def test_a_request_in_flight_is_not_sent_away(nursery, tmp_path):
    with (
        CollectorProcess(
            tmp_path, faults=[{"delay": 1}], settings={"max_connections": "1"}, nursery=nursery
        ) as collector,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", collector.port, timeout=20)) as slow,
    ):
        slow.request("POST", "/v2j", BODY, {"X-Signature": wire.signature("test", b"hunter2", BODY)})
        wait_until(lambda: has_read(collector, slow.sock), "the request is in flight")
        with connect(collector) as other:
            assert answers(other)
        answer = slow.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")  # for the other one's sake


# --- TLS -------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_collector(nursery, tmp_path):
    settings = {"tls.certificate": SERVER}  # the key stands in the same file
    settings |= {"tls.client_ca": AUTHORITY, "timeout.head": "400 ms"}
    with CollectorProcess(tmp_path, faults=None, settings=settings, nursery=nursery) as collector:
        yield collector


def test_https_takes_clients_of_the_authority_and_no_others(tls_collector):
    url = f"{tls_collector.url}/health"
    assert url.startswith("https://127.0.0.1:")
    known = {"verify": AUTHORITY, "cert": CLIENT, "timeout": 10}
    assert requests.get(url, **known).json()["status"] == "ok"
    with pytest.raises(requests.ConnectionError):
        requests.get(url, verify=AUTHORITY, timeout=10)
    assert requests.get(url, **known).json()["status"] == "ok"


def test_a_handshake_that_does_not_end_is_given_up(tls_collector):
    with connect(tls_collector) as connection:
        connection.sendall(b"\x16\x03\x01")
        assert connection.recv(1) == b""
    wait_until(lambda: "handshake failed client=127.0.0.1" in tls_collector.log(), "the log tells")
    assert "Traceback" not in tls_collector.log()


@pytest.mark.parametrize("beginning", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
def test_handshakes_that_do_not_go_on_are_no_requests_in_flight(nursery, tmp_path, beginning):
    with CollectorProcess(
        tmp_path, faults=None, settings={"tls.certificate": SERVER}, nursery=nursery
    ) as collector:
        with connect(collector) as silent:
            silent.sendall(beginning)
            time.sleep(0.1)
            started = time.monotonic()
            assert collector.stop() == 0
            assert time.monotonic() - started < 5  # timeout.head and timeout.stop are 10 s
            assert is_closed(silent)
        assert "handshake failed" not in collector.log()


@pytest.mark.parametrize("beginning", [b"", b"\x16\x03\x01"])
def test_silent_handshakes_however_many_do_not_keep_senders_out(nursery, tmp_path, beginning):
    settings = {"tls.certificate": SERVER, "max_connections": "4"}
    with (
        CollectorProcess(tmp_path, faults=None, settings=settings, nursery=nursery) as collector,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(20):
            stack.enter_context(connect(collector)).sendall(beginning)
        assert requests.get(f"{collector.url}/health", verify=AUTHORITY, timeout=5).status_code == 200


def test_ports_that_are_looked_at_are_not_in_the_log(tls_collector):
    for reset in (False, True):
        with connect(tls_collector) as connection:
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with connect(tls_collector) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    wait_until(lambda: "handshake failed" in tls_collector.log(), "what is no TLS is told")
    assert tls_collector.log().count("handshake failed") == 1


def served_certificate(collector: CollectorProcess) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(collector) as plain, context.wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True)


def test_sighup_serves_the_certificate_that_the_file_has_now(nursery, tmp_path):
    certificate = tmp_path / "served.pem"
    shutil.copy(SERVER, certificate)
    with CollectorProcess(
        tmp_path, faults=None, settings={"tls.certificate": str(certificate)}, nursery=nursery
    ) as collector:
        before = served_certificate(collector)
        with connect(collector) as plain:
            context = ssl.create_default_context(cafile=AUTHORITY)
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as kept:
                assert answers(kept)
                shutil.copy(CLIENT, certificate)
                assert served_certificate(collector) == before
                collector.process.send_signal(signal.SIGHUP)
                wait_until(lambda: "new connections get the cert" in collector.log(), "it has read it")
                assert served_certificate(collector) not in (before, None)
                assert answers(kept)  # requests go on
        certificate.write_text("half a certif")
        collector.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "old certificate stays: [collector] tls." in collector.log(), "it says so")
        assert served_certificate(collector) not in (before, None)
        collector.configure(**{"tls.certificate": SERVER})
        collector.process.send_signal(signal.SIGHUP)
        wait_until(lambda: served_certificate(collector) == before, "another file is taken, too")
        assert "a change of tls" not in collector.log()


def test_https_connections_end_with_the_server(tls_collector):
    context = ssl.create_default_context(cafile=AUTHORITY)
    context.load_cert_chain(CLIENT)
    connection = http.client.HTTPSConnection("127.0.0.1", tls_collector.port, context=context, timeout=10)
    for _ in range(2):
        connection.request("GET", "/health")
        assert connection.getresponse().read()
    started = time.monotonic()
    assert tls_collector.stop() == 0
    assert time.monotonic() - started < 5
    connection.close()
