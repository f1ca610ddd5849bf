"""One attempt over real sockets, in a plain and in a gevent process: `sidecar/delivery/post.py`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.paths import CERTIFICATES, ROOT
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.sidecar.delivery.answer import Answer
from eventpub.sidecar.delivery.payload import Payload
from eventpub.sidecar.delivery.post import MAX_BODY_BYTES, Poster

NO_SUCH_HOST = "[fe80::1%25nowhere]"  # fails in the resolver without asking a name server
PAYLOAD = Payload(b'[{"example": "value"}]', {"Content-Type": "application/json", "User-Agent": "tests"})
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

Script = Callable[[socket.socket], None]


class Peer:
    """Listens, and plays a script on every connection; notes how many there were and what they asked.

    Use it as a context manager; its end ends the scripts.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}/v2j"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(DEADLINE_SECONDS)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)

    def read(self, connection: socket.socket) -> bytes:
        """Return the next whole request, and note it; empty when the other end has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65_536)):
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(body) < length:
            body += connection.recv(65_536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self.connections += 1
                self._start(self._play, connection)

    def _play(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._tls:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            self._script(connection)


@contextlib.contextmanager
def answering(*answers: bytes, **options: object) -> Iterator[Peer]:
    """A peer that gives each request of a connection the next of `answers`, and then closes it."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            if peer.read(connection):
                connection.sendall(answer)

    peer = Peer(script, **options)
    with peer:
        yield peer


@contextlib.contextmanager
def trickling(start: bytes, drop: bytes) -> Iterator[Peer]:
    """A peer that writes `start` and then `drop` again and again, each well within any timeout."""

    def script(connection: socket.socket) -> None:
        peer.read(connection)
        connection.sendall(start)
        while True:
            connection.sendall(drop)
            time.sleep(0.02)

    peer = Peer(script)
    with peer:
        yield peer


# --- both kinds of process

WORKER = """
from gevent import monkey
monkey.patch_all()
import dataclasses, json, sys
from eventpub.sidecar.delivery.payload import Payload
from eventpub.sidecar.delivery.post import Poster
for line in sys.stdin:
    url, options, body, headers = json.loads(line)
    poster = Poster(url, **options)
    answer = poster.post(Payload(body.encode(), headers))
    poster.close()
    print(json.dumps(dataclasses.asdict(answer), default=sorted), flush=True)
"""

Attempt = Callable[..., Answer]


def attempt_here(url: str, **options: object) -> Answer:
    poster = Poster(url, **{"timeout_seconds": DEADLINE_SECONDS, "concurrency": 1} | options)
    try:
        return poster.post(PAYLOAD)
    finally:
        poster.close()


@pytest.fixture(scope="module")
def patched() -> Iterator[Attempt]:
    """Attempts of a process like the sidecar's, which gevent has patched."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:

        def attempt(url: str, **options: object) -> Answer:
            options = {"timeout_seconds": DEADLINE_SECONDS, "concurrency": 1} | options
            plain = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
            order = (url, plain, PAYLOAD.body.decode(), dict(PAYLOAD.headers))
            worker.stdin.write(json.dumps(order) + "\n")
            worker.stdin.flush()
            fields = json.loads(worker.stdout.readline())
            sets = {"rejected": tuple(fields["rejected"]), "codings": frozenset(fields["codings"])}
            return Answer(**fields | sets)

        yield attempt
        worker.stdin.close()


@pytest.fixture(params=["plain", "patched"])
def attempt(request) -> Attempt:
    return attempt_here if request.param == "plain" else request.getfixturevalue("patched")


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
        wait_until(lambda: not peer._threads[1].is_alive(), "the connection is closed")
    assert (answer.status, answer.reason) == (status, "x" * 500)
    assert sum(sent) < MAX_BODY_BYTES + 16 * 1024 * 1024  # what the sockets' buffers took besides


# --- no answer


def reset(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close sends RST


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_nobody_listening_is_refused(attempt):
    answer = attempt(f"http://127.0.0.1:{closed_port()}/v2")
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
from test_post import PAYLOAD, Peer, Poster
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
    folders = (ROOT, ROOT / "tests", ROOT / "tests/sidecar/delivery")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == ["GreenletExit", "KeyError", "Timeout"]


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
            wait_until(lambda: not peer._threads[-1].is_alive(), f"connection {number} is closed")
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


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    with answering(OK) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.example")
        assert attempt_here("http://collector.example/v2j").status == 200
        assert proxy.requests[0].startswith(b"POST http://collector.example/v2j HTTP/1.1\r\n")
        assert attempt_here("http://other.example:1/v2j", timeout_seconds=0.2).status is None
    assert proxy.connections == 1


# --- TLS


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    return context


def test_a_certificate_of_a_given_authority_is_trusted(attempt):
    with answering(OK, tls=server_context()) as peer:
        assert attempt(peer.url, ca_file=CERTIFICATES / "ca.pem").status == 200


def test_a_certificate_of_an_unknown_authority_is_not(attempt):
    with answering(OK, tls=server_context()) as peer:
        answer = attempt(peer.url)
    assert (answer.status, answer.kind) == (None, "tls")
    assert "certificate verify failed" in answer.reason
    assert (peer.connections, peer.requests) == (1, [])


def test_a_certificate_for_another_name_is_not_trusted(attempt):
    with answering(OK, tls=server_context(), host="127.0.0.2") as peer:
        answer = attempt(peer.url, ca_file=CERTIFICATES / "ca.pem")
    assert answer.kind == "tls"
    assert not peer.requests


def test_https_to_a_port_that_speaks_http_is_tls(attempt):
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer:
        peer.read = lambda connection: connection.recv(65_536)
        assert attempt(peer.url.replace("http:", "https:")).kind == "tls"


def test_the_environments_authorities_serve_unless_some_are_given(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "ca.pem"))
    with answering(OK, tls=server_context()) as peer:
        assert attempt_here(peer.url).status == 200
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
        assert attempt_here(peer.url).status is None
        assert attempt_here(peer.url, ca_file=CERTIFICATES / "ca.pem").status == 200


@pytest.mark.parametrize("apart", [False, True])
def test_a_client_certificate_is_presented(attempt, tmp_path, apart):
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(CERTIFICATES / "ca.pem")
    options = {"ca_file": CERTIFICATES / "ca.pem", "client_certificate": CERTIFICATES / "client.pem"}
    if apart:
        certificate, begin, key = (CERTIFICATES / "client.pem").read_text().partition("-----BEGIN PRIVATE KEY")
        options["client_certificate"] = tmp_path / "client.crt"
        options["client_key"] = tmp_path / "client.key"
        options["client_certificate"].write_text(certificate)
        options["client_key"].write_text(begin + key)
    with answering(OK, tls=context) as peer:
        assert attempt(peer.url, ca_file=CERTIFICATES / "ca.pem").status is None
        assert attempt(peer.url, **options).status == 200
