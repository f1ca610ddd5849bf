"""The small HTTP server, over real sockets; server and client share a hub here, as in the programs."""

from __future__ import annotations

import contextlib
import socket as blocking
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket

from eventpub.process.errors import ListenError
from eventpub.process.listener import ProbeListener, Reply


def answer_breaking(_: object) -> Reply:
    raise ValueError("broken")


@pytest.fixture
def closed() -> list[str]:
    return []


@pytest.fixture
def listener(closed: list[str]) -> Iterator[ProbeListener]:
    def stream() -> Iterator[bytes]:
        try:
            yield b"one\n"
            gevent.sleep(0.01)
            yield b"two\n"
        finally:
            closed.append("stream")

    routes = {
        "/well": lambda query: Reply.text(f"ok {sorted(query.items())}"),
        "/ill": lambda _: Reply.text("paused: full", 503),
        "/json": lambda _: Reply.json("{}"),
        "/stream": lambda _: Reply(stream()),
        "/broken": answer_breaking,
    }
    opened = ProbeListener(routes, ("127.0.0.1", 0), head_seconds=0.3)
    yield opened
    opened.close()


def ask(listener: ProbeListener, request: str) -> tuple[int, str, str]:
    host, _, port = listener.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connected:
        connected.sendall(request.encode())
        received = b""
        with contextlib.suppress(ConnectionResetError):  # with bytes unread, the kernel says so
            while piece := connected.recv(4096):
                received += piece
    head, _, body = received.decode().partition("\r\n\r\n")
    return int(head.split()[1]) if head else 0, head.lower(), body


def get(listener: ProbeListener, path: str, method: str = "GET") -> tuple[int, str, str]:
    return ask(listener, f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n")


def test_routes_are_answered_one_request_a_connection(listener: ProbeListener) -> None:
    status, head, body = get(listener, "/well?a=1&b=%20")
    assert (status, body) == (200, "ok [('a', '1'), ('b', ' ')]\n")
    assert "connection: close" in head
    assert "cache-control: no-store" in head
    assert get(listener, "/ill")[::2] == (503, "paused: full\n")
    assert get(listener, "/json")[::2] == (200, "{}")
    assert "content-type: application/json" in get(listener, "/json")[1]


def test_heads_have_the_length_and_no_body(listener: ProbeListener, closed: list[str]) -> None:
    status, head, body = get(listener, "/ill", "HEAD")
    assert (status, body) == (503, "")
    assert "content-length: 13" in head
    assert get(listener, "/stream", "HEAD")[::2] == (200, "")
    assert closed == []  # it was closed before it began


def test_what_is_not_there_is_said_with_what_is(listener: ProbeListener) -> None:
    assert get(listener, "/")[0] == 404
    assert "/well, /ill" in get(listener, "/")[2]
    status, head, _ = get(listener, "/well", "DELETE")
    assert status == 405
    assert "allow: get, head" in head


def test_a_route_that_breaks_is_logged_and_answered(
    listener: ProbeListener, caplog: pytest.LogCaptureFixture
) -> None:
    assert get(listener, "/broken")[0] == 500
    assert "/broken could not be answered" in caplog.text
    assert get(listener, "/well")[0] == 200


def test_a_stream_goes_out_in_pieces_and_is_closed(listener: ProbeListener, closed: list[str]) -> None:
    assert ask(listener, "GET /stream HTTP/1.0\r\n\r\n")[2] == "one\ntwo\n"
    assert closed == ["stream"]


@pytest.mark.parametrize(
    "request_", ["", "GET", "nonsense\r\n\r\n", f"GET /well HTTP/1.1\r\nX: {'x' * 100_000}"]
)
def test_who_asks_nothing_or_nonsense_is_sent_away(
    listener: ProbeListener, request_: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(listener, request_)[0] in (0, 400)
    assert get(listener, "/well")[0] == 200
    assert caplog.text == ""
    assert "Traceback" not in capsys.readouterr().err


def test_a_path_is_for_its_user_and_replaced_only_if_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "here.sock"
    with blocking.socket(blocking.AF_UNIX) as left:
        left.bind(str(path))
    first = ProbeListener({}, str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ListenError, match="another process listens there"):
        ProbeListener({}, str(path))
    first.close()
    assert not path.exists()
    path.write_text("a file")
    with pytest.raises(ListenError, match="something else has that name"):
        ProbeListener({}, str(path))
    assert path.read_text() == "a file"


def test_an_address_that_is_taken_or_not_ours_is_told(listener: ProbeListener) -> None:
    host, _, port = listener.url.removeprefix("http://").rpartition(":")
    for address in ((host, int(port)), ("192.0.2.1", 0)):
        with pytest.raises(ListenError, match="choose another address"):
            ProbeListener({}, address)


def test_ipv6_has_brackets_in_its_url() -> None:
    if not blocking.has_ipv6:
        pytest.skip("there is no IPv6")
    try:
        opened = ProbeListener({}, ("::1", 0))
    except ListenError:
        pytest.skip("there is no IPv6 loopback")
    assert opened.url.startswith("http://[::1]:")
    opened.close()
