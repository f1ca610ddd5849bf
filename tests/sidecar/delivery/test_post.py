"""One attempt over real sockets, in a plain and in a gevent process: `sidecar/delivery/post.py`."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from support.attempts import CHUNKED, OK, PAYLOAD, attempt_here
from support.paths import CERTIFICATES, ROOT
from support.peer import Peer, answering, reset, tls_context, trickling
from support.ports import free_port
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.sidecar.delivery.answer import Answer, judge_answer
from eventpub.sidecar.delivery.payload import Payload
from eventpub.sidecar.delivery.post import MAX_BODY_BYTES, Poster
from eventpub.sidecar.http.trouble import explain_failure
from eventpub.sidecar.telemetry.verdicts import Verdict

NO_SUCH_HOST = "[fe80::1%25nowhere]"  # fails in the resolver without asking a name server


def run_program(program: str) -> str:
    """Run Python in a process of its own and return what it writes."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout


# --- answers


def test_an_attempt_sends_the_payload_as_it_is_and_nothing_of_this_machine(attempt):
    with answering(OK) as peer:
        assert attempt(peer.url).status == 200
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    request_line, *headers = head.decode().split("\r\n")
    assert request_line == "POST /v2j HTTP/1.1"
    assert sorted(headers) == [
        "Accept-Encoding: identity",
        "Accept: application/json, text/plain;q=0.5",
        f"Content-Length: {len(PAYLOAD.body)}",
        "Content-Type: application/json",
        f"Host: 127.0.0.1:{peer.port}",
        "User-Agent: tests",
    ]
    assert body == PAYLOAD.body


def test_an_answer_carries_what_the_collector_said(attempt):
    body = b'{"rejected":[{"index":1,"reason":"no source"}]}'
    head = b"HTTP/1.1 422 No\r\nretry-after: 7\r\naccept-encoding: zstd\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    with answering(head + body) as peer:
        answer = attempt(peer.url)
    assert (answer.status, answer.kind, answer.retry_after_seconds) == (422, "http", 7)
    assert answer.codings == {"zstd"}
    assert answer.reason == body.decode()
    assert [tuple(rejection) for rejection in answer.rejected] == [(1, "no source")]


@pytest.mark.parametrize("status", [204, 304, 401, 500, 503, 999])
def test_any_status_is_an_answer(attempt, status):
    with answering(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status) as peer:
        assert attempt(peer.url).status == status
    assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(attempt, status):
    with answering(OK) as elsewhere:
        head = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\n" % (status, elsewhere.url.encode())
        with answering(head + b"Content-Length: 0\r\n\r\n") as peer:
            assert attempt(peer.url).status == status
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [200, 302])
def test_no_more_of_a_long_body_is_read_than_its_beginning(attempt, status):
    """A redirect's too: requests reads all of that unless it is kept from it."""
    sent = []

    def script(connection: socket.socket) -> None:
        peer.read(connection)
        connection.sendall(b"HTTP/1.1 %d So\r\nLocation: /\r\nContent-Length: 10000000000\r\n\r\n" % status)
        while True:
            sent.append(connection.send(b"x" * 65_536))

    with Peer(script) as peer:
        answer = attempt(peer.url)
        wait_until(lambda: not peer.is_playing(), "the connection is closed")
    assert (answer.status, answer.reason) == (status, "x" * 500)
    assert sum(sent) < MAX_BODY_BYTES + 16 * 1024 * 1024  # what the sockets' buffers took besides


# --- no answer


def test_nobody_listening_is_refused(attempt):
    answer = attempt(f"http://127.0.0.1:{free_port()}/v2")
    assert (answer.status, answer.kind) == (None, "refused")
    assert "refused" in answer.reason


def test_an_unknown_host_is_dns(attempt):
    assert attempt(f"http://{NO_SUCH_HOST}:80/v2").kind == "dns"


def test_a_connection_that_is_reset_is_reset_and_not_tried_again(attempt):
    with Peer(reset) as peer:
        assert attempt(peer.url).kind == "reset"
    assert peer.connections == 1


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
def test_half_an_answer_is_no_answer(attempt, half):
    with answering(half) as peer:
        answer = attempt(peer.url)
    assert (answer.status, answer.kind) == (None, "reset")


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"\x16\x03\x01\x00" * 99],
)
def test_an_answer_that_is_not_http_is_no_answer(attempt, garbage):
    with answering(garbage) as peer:
        answer = attempt(peer.url)
    assert (answer.status, answer.kind) == (None, "other")


def test_silence_is_a_timeout(attempt):
    with Peer(lambda connection: peer.read(connection) and connection.recv(1)) as peer:
        assert attempt(peer.url, timeout_seconds=0.1).kind == "timeout"


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-", b"y"),  # a header that never ends
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"z"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_an_answer_that_trickles_in_is_over_at_the_deadline(patched, start, drop):
    """No single wait takes long, so the sockets' timeout never fires."""
    with trickling(start, drop) as peer:
        started = time.monotonic()
        answer = patched(peer.url, timeout_seconds=5, deadline_seconds=0.3)
        assert 0.3 <= time.monotonic() - started < 5
    assert (answer.status, answer.kind) == (None, "timeout")
    assert answer.reason == "the attempt took more than 0.3 seconds; it ended while reading the answer"


def test_an_attempt_that_is_killed_or_timed_out_from_outside_ends_at_once():
    """As at the end of shutdown.timeout: only the poster's own deadline becomes an answer."""
    program = """
from gevent import monkey
monkey.patch_all()
import sys, gevent
from support.peer import Peer
from support.attempts import PAYLOAD
from eventpub.sidecar.delivery.post import Poster
with Peer(lambda connection: connection.recv(65_536) and connection.recv(1)) as peer:
    poster = Poster(peer.url, timeout_seconds=60, concurrency=1)
    greenlet = gevent.spawn(poster.post, PAYLOAD)
    while not peer.connections:
        gevent.sleep(0.01)
    greenlet.kill(timeout=5)
    print(type(greenlet.value).__name__)
    try:
        with gevent.Timeout(0.05, KeyError):
            poster.post(PAYLOAD)
    except KeyError:
        print("KeyError")
    try:
        with gevent.Timeout(0.05):
            poster.post(PAYLOAD)
    except gevent.Timeout:
        print("Timeout")
    poster.close()
"""
    assert run_program(program).split() == ["GreenletExit", "KeyError", "Timeout"]


# --- whatever the other end sends, however fast: the hub goes on, and the attempt ends


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 500),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nX-", b"y" * 8192),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"e" * 8192),
    ],
)
def test_an_answer_without_an_end_blocks_nobody_and_is_no_answer(patched, start, drop):
    """B1: neither deadline nor SIGTERM nor receiving had a chance."""
    with trickling(start, drop, pause_seconds=0) as peer:
        answer = patched(peer.url)
    assert (answer.status, answer.kind) == (None, "malformed")
    assert patched.longest_gap_seconds < 0.5


def test_an_answer_in_the_smallest_pieces_leaves_the_hub_to_the_others(patched):
    """Data is always there, so a read that waits only when it must would never let the others in."""

    def script(connection: socket.socket) -> None:
        peer.read(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000:
            connection.sendall(b"%c" % byte)
        peer.read(connection)

    with Peer(script) as peer:
        assert patched(peer.url).status == 200
    assert patched.longest_gap_seconds < 0.5


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ],
)
def test_a_broken_answer_is_no_answer_and_its_connection_is_closed(attempt, broken):
    """B4: a negative chunk size ended the process, and a negative length was taken for acceptance."""
    with answering(broken, OK) as peer:
        answer = attempt(peer.url)
    assert (answer.status, answer.kind) == (None, "malformed")
    assert len(peer.requests) == 1


def test_every_answer_is_that_of_its_own_request():
    """A1: after an informational answer, each batch got the answer to the one before."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answers = [
        hints + b"HTTP/1.1 %d So\r\nContent-Length: 0\r\n\r\n" % status for status in (200, 503, 202, 429)
    ]
    with answering(*answers) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=1)
        assert [poster.post(PAYLOAD).status for _ in answers] == [200, 503, 202, 429]
        poster.close()
    assert peer.connections == 1


@pytest.mark.parametrize("tls", [False, True])
def test_an_end_inside_the_headers_is_no_answer(attempt, tls):
    """A17: a portal's page that breaks off counted as accepted."""
    options = {"tls": tls_context()} if tls else {}
    with answering(b"HTTP/1.1 200 OK\r\nServer: portal\r\n", **options) as peer:
        answer = attempt(peer.url, ca_file=CERTIFICATES / "ca.pem")
    assert (answer.status, answer.kind) == (None, "reset")


def test_a_header_line_that_is_none_does_not_keep_a_batch_from_being_accepted(attempt, caplog):
    """B18; urllib3 wrote a traceback for each, too."""
    with answering(b"HTTP/1.1 200 OK\r\nX Proxy: yes\r\nContent-Length: 2\r\n\r\nok") as peer:
        assert attempt(peer.url).status == 200
    assert not caplog.records


# --- an answer before the end of the request


@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_that_comes_before_the_request_is_sent_counts(attempt, tls):
    """B17: over TLS, what a proxy says and does not wait for the body was lost to `EOF occurred`."""

    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nless")
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.1)  # a moment on the line, and the rest of the body meets a closed door

    payload = Payload(b"x" * 8_000_000, PAYLOAD.headers)
    with Peer(script, tls=tls_context() if tls else None) as peer:
        answer = attempt(peer.url, payload, ca_file=CERTIFICATES / "ca.pem")
    assert (answer.status, answer.reason) == (413, "less")


@pytest.mark.parametrize("tls", [False, True])
def test_acceptance_of_what_was_not_sent_is_none(attempt, tls):
    """A collector that closes before the end of the batch cannot have it, whatever its status says."""

    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.1)

    payload = Payload(b"x" * 8_000_000, PAYLOAD.headers)
    with Peer(script, tls=tls_context() if tls else None) as peer:
        answer = attempt(peer.url, payload, ca_file=CERTIFICATES / "ca.pem")
    assert (answer.status, answer.kind) == (None, "reset")
    assert answer.reason.startswith("status 200, but not all of the batch could be sent")


@pytest.mark.parametrize("tls", [False, True])
def test_an_end_before_the_request_is_sent_and_without_an_answer_is_reset(attempt, tls):
    payload = Payload(b"x" * 8_000_000, PAYLOAD.headers)
    with Peer(reset, tls=tls_context() if tls else None) as peer:
        answer = attempt(peer.url, payload, ca_file=CERTIFICATES / "ca.pem")
    assert (answer.status, answer.kind, answer.is_sent) == (None, "reset", True)


def test_an_answer_of_one_who_takes_no_more_of_the_request_counts(attempt):
    """It neither reads on nor closes."""

    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
        ended.wait(DEADLINE_SECONDS)

    ended = threading.Event()
    payload = Payload(b"x" * 8_000_000, PAYLOAD.headers)
    with Peer(script) as peer:
        answer = attempt(peer.url, payload, timeout_seconds=1)
        ended.set()
    assert (answer.status, answer.retry_after_seconds) == (503, 7)


# --- slow is not dead


def slow_reader(piece_bytes: int, pause_seconds: float) -> Peer:
    """A peer that takes a request as a slow line would, and answers it then."""

    def script(connection: socket.socket) -> None:
        head = peer.read_head(connection)
        left = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        left -= len(head.partition(b"\r\n\r\n")[2])
        while left > 0:
            time.sleep(pause_seconds)
            left -= len(connection.recv(piece_bytes))
        connection.sendall(OK)

    peer = Peer(script, receive_buffer_bytes=4096)
    return peer


def test_a_request_may_take_longer_than_any_timeout_while_it_gets_on(attempt):
    """B19: sending had one timeout in all, and what waits in the kernel counted as time without an answer."""
    payload = Payload(b"x" * 150_000, PAYLOAD.headers)
    with slow_reader(7_500, 0.05) as peer:
        started = time.monotonic()
        answer = attempt(peer.url, payload, timeout_seconds=0.4, deadline_seconds=0.4)
        assert time.monotonic() - started > 0.8
    assert answer.status == 200


def test_a_request_that_does_not_get_on_is_a_timeout(attempt):
    ended = threading.Event()
    payload = Payload(b"x" * 8_000_000, PAYLOAD.headers)
    with Peer(lambda _: ended.wait(DEADLINE_SECONDS), receive_buffer_bytes=4096) as peer:
        started = time.monotonic()
        answer = attempt(peer.url, payload, timeout_seconds=0.2)
        seconds = time.monotonic() - started
        ended.set()
    assert (answer.kind, answer.reason) == ("timeout", "nothing came for 0.2 seconds while sending")
    assert seconds < DEADLINE_SECONDS / 2  # the other end holds on for all of it


# --- what no answer tells


def test_a_timeout_tells_what_was_waited_for(attempt):
    with Peer(lambda connection: peer.read(connection) and connection.recv(1)) as peer:
        answer = attempt(peer.url, timeout_seconds=0.1)
    assert answer.reason == "nothing came for 0.1 seconds while waiting for the answer"
    with Peer(lambda connection: peer.read(connection) and connection.recv(1)) as peer:
        answer = attempt(peer.url.replace("http:", "https:"), timeout_seconds=0.1)
    assert (answer.kind, answer.is_sent) == ("timeout", False)


def test_a_silent_name_server_is_told_as_one():
    """The lookup is what the deadline struck; the log said no more than `timeout`."""
    program = """
from gevent import monkey
monkey.patch_all()
import os, socket, time
from support.attempts import attempt_here
os.environ["no_proxy"] = "collector.example"
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
answer = attempt_here("http://collector.example/v2", timeout_seconds=0.1)
print(answer.kind, answer.is_sent, answer.reason, sep="|")
"""
    kind, is_sent, reason = run_program(program).strip().split("|")
    assert (kind, is_sent) == ("timeout", "False")
    assert reason.startswith(
        "the attempt took more than 0.3 seconds; it ended while looking up the address of c"
    )


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL])
def test_no_way_to_the_collector_is_unreachable(number):
    """`other`, as it was; no test can count on an address that every network refuses to route."""
    assert explain_failure(OSError(number, os.strerror(number))).kind == "unreachable"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"http://{NO_SUCH_HOST}:80/v2", "dns"),
        (f"http://{'a' * 64}.example/v2", "dns"),
        (f"http://127.0.0.1:{free_port()}/v2", "refused"),
    ],
    ids=["no such host", "no name", "closed port"],
)
def test_what_never_left_this_host_is_told(attempt, url, kind):
    """A batch whose last attempt may have arrived must keep its id and its events."""
    answer = attempt(url)
    assert (answer.kind, answer.is_sent) == (kind, False)


# --- receipts


RECEIPT = b'{"batch_id": "0123", "events": 1, "duplicate": false}'


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (RECEIPT, Verdict.ACCEPTED),
        (b"ok", Verdict.MISCONFIGURED),
        (b"", Verdict.MISCONFIGURED),
        (RECEIPT.replace(b"0123", b"4567"), Verdict.MISCONFIGURED),
    ],
)
def test_a_2xx_counts_only_if_it_names_the_batch_where_that_is_required(attempt, body, verdict):
    payload = Payload(PAYLOAD.body, {**PAYLOAD.headers, "Idempotency-Key": "0123"})
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering(head + body) as peer:
        answer = attempt(peer.url, payload, require_receipt=True)
    assert judge_answer(answer) is verdict
    assert ("does not name the batch" in answer.account) is (verdict is Verdict.MISCONFIGURED)
    with answering(head + body) as peer:
        assert judge_answer(attempt(peer.url, payload)) is Verdict.ACCEPTED


def test_a_refusal_needs_no_receipt(attempt):
    with answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy") as peer:
        answer = attempt(peer.url, require_receipt=True)
    assert (judge_answer(answer), answer.account) == (Verdict.RETRY, "busy")


# --- the session


@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_a_connection_is_used_again(answer):
    with answering(*[answer] * 3) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=2)
        assert len({poster.post(PAYLOAD).status for _ in range(3)}) == 1
        poster.close()
    assert (peer.connections, len(peer.requests)) == (1, 3)


def test_a_connection_that_the_collector_closed_meanwhile_is_replaced():
    with answering(OK) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=1)
        for number in range(3):
            assert poster.post(PAYLOAD).status == 200
            wait_until(lambda: not peer.is_playing(), f"connection {number} is closed")
        poster.close()
    assert peer.connections == 3


def test_as_many_attempts_are_in_flight_at_once_as_there_are_callers():
    together = threading.Barrier(4, timeout=DEADLINE_SECONDS)

    def script(connection: socket.socket) -> None:
        while peer.read(connection):
            together.wait()
            connection.sendall(OK)

    with Peer(script) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=4)
        statuses: list[int | None] = []
        callers = [
            threading.Thread(target=lambda: statuses.extend(poster.post(PAYLOAD).status for _ in range(5)))
            for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(DEADLINE_SECONDS)
        poster.close()
    assert statuses == [200] * 20
    assert peer.connections == 4


def test_an_attempt_in_flight_outlives_the_close_of_its_poster():
    """SIGHUP replaces the poster while batches are on their way."""
    closed = threading.Event()

    def script(connection: socket.socket) -> None:
        peer.read(connection)
        closed.wait(DEADLINE_SECONDS)
        connection.sendall(OK)

    with Peer(script) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=1)
        answers: list[Answer] = []
        caller = threading.Thread(target=lambda: answers.append(poster.post(PAYLOAD)))
        caller.start()
        wait_until(lambda: peer.requests, "the attempt is in flight")
        poster.close()
        closed.set()
        caller.join(DEADLINE_SECONDS)
    assert answers[0].status == 200


def test_cookies_are_not_sent_back():
    answer = OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1)
    with answering(answer, answer) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=1)
        poster.post(PAYLOAD)
        poster.post(PAYLOAD)
        poster.close()
    assert b"cookie" not in peer.requests[1].lower()


def test_a_password_of_netrc_is_not_sent(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with answering(OK) as peer:
        attempt_here(peer.url)
    assert b"authorization" not in peer.requests[0].lower()
