"""Heads, bodies and connections that are late, large, malformed or ambiguous."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import statistics
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.collector_process import CollectorProcess
from support.waiting import wait_until

from eventpub import wire

SETTINGS = {
    "timeout.idle": "400 ms",
    "timeout.head": "400 ms",
    "timeout.body": "400 ms",
    "max_head_size": "2 KiB",
}
SIGNATURE = b"X-Signature: key=test, mac=7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179\r\n"
POST = b"POST /v2j HTTP/1.1\r\n" + SIGNATURE
BODY = b'[{"example": "value"}]'
HEALTH = b"GET /health HTTP/1.1\r\n\r\n"


@pytest.fixture(scope="module")
def collector(nursery, tmp_path_factory) -> Iterator[CollectorProcess]:
    with CollectorProcess(
        tmp_path_factory.mktemp("collector"), settings=SETTINGS, nursery=nursery
    ) as collector:
        yield collector


@pytest.fixture
def connection(collector) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        yield connection


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], dict]:
    """Read one answer, and nothing of the next: its status, headers and fields."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        received = connection.recv(1)
        assert received, f"closed after {head!r}"
        head += received
    first, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body, length = b"", int(headers["Content-Length"])
    while len(body) < length:
        received = connection.recv(length - len(body))
        assert received, f"closed after {head + body!r}"
        body += received
    return int(first.split()[1]), headers, json.loads(body)


def read_refusal(connection: socket.socket) -> tuple[int, str]:
    """Read an answer that refuses, after which the connection must end."""
    status, headers, fields = read_answer(connection)
    assert headers["Connection"] == "close"
    assert headers["Accept-Encoding"] == "gzip, zstd"
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
    return status, fields["error"]


# --- late ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"P", b"POST /v2j HTTP/1.1\r\n", POST + b"Content-Length: 22\r\n"])
def test_a_head_that_does_not_arrive_in_time_is_refused_with_408(connection, start):
    connection.sendall(start)
    assert read_refusal(connection) == (408, "head_timeout")


def test_a_head_in_drips_has_no_more_time_than_another(connection):
    """Each drip comes within the timeout; all of them together do not."""
    connection.sendall(POST)
    connection.settimeout(0.1)
    started = time.monotonic()
    answer = b""
    while not answer:
        assert time.monotonic() - started < 10
        connection.sendall(b"X")
        try:
            answer = connection.recv(65536)
        except TimeoutError:
            continue
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 22\r\n\r\n[{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n[{"]
)
def test_a_body_that_does_not_arrive_in_time_is_refused_with_408(connection, framing):
    connection.sendall(POST + framing)
    assert read_refusal(connection) == (408, "body_timeout")


def test_a_body_that_keeps_coming_has_more_time_the_longer_it_is(tmp_path, nursery):
    """At a tenth of the pace of a slow mobile it takes longer than `timeout.body`."""
    body = b"[%s]" % (b" " * 4000)
    with (
        CollectorProcess(tmp_path, settings=SETTINGS, nursery=nursery) as collector,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", collector.port, timeout=10)) as slow,
    ):
        slow.putrequest("POST", "/v2j")
        slow.putheader("Content-Length", str(len(body)))
        slow.putheader("X-Signature", wire.signature("test", b"hunter2", body))
        slow.endheaders()
        started = time.monotonic()
        for start in range(0, len(body), 500):
            slow.send(body[start : start + 500])
            time.sleep(0.1)
        assert slow.getresponse().status == 200
        assert time.monotonic() - started > 0.8


def test_a_connection_without_requests_is_closed_in_time_without_a_word(connection):
    assert connection.recv(1) == b""


# --- large -----------------------------------------------------------------------------------------------


def test_a_head_beyond_its_limit_is_refused_with_431(connection):
    connection.sendall(POST + b"X-Padding: " + b"x" * 100_000 + b"\r\n\r\n")
    assert read_refusal(connection) == (431, "head_too_large")


def test_a_request_line_without_end_is_refused_with_431(connection):
    connection.sendall(b"GET /" + b"x" * 100_000)
    assert read_refusal(connection) == (431, "head_too_large")


def test_more_headers_than_a_hundred_are_refused_with_431(connection):
    connection.sendall(b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n")
    assert read_refusal(connection) == (431, "too_many_headers")


# --- malformed or ambiguous ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"GET /health\r\n",
        b"GET /health HTTP/2.0\r\n",
        b"GET  /health HTTP/1.1\r\n",
        b"get /health HTTP/1.1\r\n",
        b"GET /h\xc3\xbc HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\n",
        b"\r\n",
    ],
)
def test_what_is_no_request_line_is_refused_with_400(connection, line):
    connection.sendall(line + b"\r\n")
    assert read_refusal(connection) == (400, "bad_request_line")


@pytest.mark.parametrize(
    "header", [b"no colon", b"Two words: x", b"Name : x", b" folded: x", b"A: \x00", b": x"]
)
def test_what_is_no_header_is_refused_with_400(connection, header):
    connection.sendall(b"GET /health HTTP/1.1\r\n" + header + b"\r\n\r\n")
    assert read_refusal(connection) == (400, "bad_header")


@pytest.mark.parametrize(
    "length", [b"-1", b"+22", b"2_2", b"22, 22", b"0x16", b"9" * 16, b"22\r\nContent-Length: 22", b""]
)
def test_a_content_length_that_is_no_number_is_refused_with_400(connection, length):
    connection.sendall(POST + b"Content-Length: " + length + b"\r\n\r\n" + BODY)
    assert read_refusal(connection) == (400, "bad_length")


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: chunked\r\nContent-Length: 22\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_framing_that_two_readers_could_read_in_two_ways_is_refused_with_400(connection, framing):
    connection.sendall(POST + framing + b"\r\n" + BODY)
    assert read_refusal(connection) == (400, "bad_framing")


def test_chunks_in_an_old_version_of_http_are_refused_with_400(connection):
    old = (
        POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    connection.sendall(old + b"0\r\n\r\n")
    assert read_refusal(connection) == (400, "bad_framing")


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"4\r\n[{}]xx",
        b"ffffffffffffffffff\r\n",
        b"\r\n",
        b";a=b\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"1;" + b"x" * 100_000,
        b"1\r\n[\r\n" + b"1;%s\r\n \r\n" % (b"x" * 99) * 1000,
        b"0\r\n" + b"A: b\r\n" * 10_000,
    ],
)
def test_chunks_that_make_no_sense_are_refused_with_400(connection, chunks):
    connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert read_refusal(connection) == (400, "bad_framing")


def test_chunks_of_a_byte_extensions_and_trailers_are_taken(connection):
    chunks = b"".join(b"1;name=value\r\n%c\r\n" % byte for byte in BODY)
    connection.sendall(
        POST + b"Transfer-Encoding: Chunked\r\n\r\n" + chunks + b"0;last\r\nA-Trailer: x\r\n\r\n" + HEALTH
    )
    assert read_answer(connection)[0] == 200
    assert read_answer(connection)[2]["status"] == "ok"


def test_a_body_that_ends_early_is_refused_with_400(connection):
    connection.sendall(POST + b"Content-Length: 23\r\n\r\n" + BODY)
    connection.shutdown(socket.SHUT_WR)
    status, _, fields = read_answer(connection)
    assert (status, fields["error"]) == (400, "bad_framing")


def test_a_body_without_a_length_is_refused_with_411(connection):
    connection.sendall(POST + b"\r\n" + BODY)
    assert read_answer(connection)[0] == 411


# --- several requests on one connection ------------------------------------------------------------------


def test_requests_follow_each_other_on_one_connection(connection):
    for _ in range(3):
        connection.sendall(POST + b"Content-Length: 22\r\n\r\n" + BODY)
        status, headers, _ = read_answer(connection)
        assert status == 200
        assert "Connection" not in headers


def test_answers_on_a_kept_connection_come_at_once(connection):
    """Not 40 ms later, as when Nagle's algorithm waits for a delayed acknowledgement."""
    seconds = []
    for _ in range(50):  # the first few are acknowledged at once
        started = time.perf_counter()
        connection.sendall(HEALTH)
        read_answer(connection)
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 0.03


def test_a_refused_batch_leaves_the_connection_open(connection):
    connection.sendall(b"POST /v2j HTTP/1.1\r\nContent-Length: 22\r\n\r\n" + BODY)
    assert read_answer(connection)[0] == 401
    connection.sendall(HEALTH)
    assert read_answer(connection)[0] == 200


def test_a_body_that_nobody_reads_is_not_taken_for_the_next_request(connection):
    connection.sendall(b"POST /nowhere HTTP/1.1\r\nContent-Length: 26\r\n\r\n" + HEALTH)
    assert read_refusal(connection) == (404, "not_found")


def test_a_sender_that_waits_for_100_continue_gets_it_or_the_final_answer(connection):
    expect = b"Expect: 100-continue\r\n"
    connection.sendall(POST + expect + b"Content-Length: 22\r\n\r\n")
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(BODY)
    assert read_answer(connection)[0] == 200
    connection.sendall(POST + expect + b"Content-Length: 222222222\r\n\r\n")
    assert read_refusal(connection) == (413, "too_large")


@pytest.mark.parametrize("value", [b"100-Continue", b"100-CONTINUE"])
def test_expectations_are_met_however_they_are_written(connection, value):
    connection.sendall(POST + b"Expect: %s\r\nContent-Length: 22\r\n\r\n" % value)
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_http_1_0_is_not_asked_to_continue(connection):
    request = (POST + b"Expect: 100-continue\r\nContent-Length: 22\r\n\r\n").replace(b"/1.1", b"/1.0")
    connection.sendall(request + BODY)
    assert read_answer(connection)[0] == 200


# --- targets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://collector/health", 200),
        (b"HTTP://collector:8080/health?x", 200),
        (b"https://[::1]:8080/health", 200),
        (b"http://collector", 404),
        (b"http://collector?x", 404),
        (b"http:///health", 400),
        (b"http:/health", 400),
        (b"http://", 400),
        (b"http://user@collector/health", 400),
        (b"ftp://collector/health", 404),
        (b"health", 404),
    ],
)
def test_a_whole_url_may_stand_in_the_paths_place(connection, target, status):
    connection.sendall(b"GET " + target + b" HTTP/1.1\r\n\r\n")
    assert read_answer(connection)[0] == status


def test_batches_are_taken_at_a_whole_url(connection):
    post = POST.replace(b"/v2j", b"http://collector:1/v2j")
    connection.sendall(post + b"Content-Length: 22\r\n\r\n" + BODY)
    assert read_answer(connection)[0] == 200


@pytest.mark.parametrize("target", [b"*", b"http://collector"])
def test_options_of_the_whole_server_may_be_asked_for(connection, target):
    connection.sendall(b"OPTIONS " + target + b" HTTP/1.1\r\n\r\n")
    assert read_answer(connection)[0] == 200


def test_refused_heads_are_in_the_access_log(collector, connection):
    connection.sendall(b"nonsense\r\n")
    read_refusal(connection)
    line = wait_until(
        lambda: re.search(".* error=bad_request_line$", collector.log(), re.MULTILINE), "it is logged"
    )
    assert "client=127.0.0.1 method=- path=- status=400 received_bytes=0 sent_bytes=" in line[0]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_and_no_resets_bring_it_down(collector, data):
    """A valid request with bytes changed, lost and put in; some senders are gone before the answer."""
    request = bytearray(POST + b"Content-Length: 22\r\n\r\n" + BODY)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(request) - 1))
        request[place : place + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(request)
        if data.draw(st.booleans()):
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(65536)[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 ", b"")
        elif data.draw(st.booleans()):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_the_collector_went_through_all_that_without_a_traceback(collector, connection):
    connection.sendall(HEALTH)
    assert read_answer(connection)[0] == 200
    assert "Traceback" not in collector.log()
