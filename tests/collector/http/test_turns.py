"""What came all at once is read a piece at a time, and others have their turns between the pieces.

The bytes of a test are in the kernel before the server looks at them, so it never has to wait for any: what it
then gives to others, it gives by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import pytest
from support.waiting import DEADLINE_SECONDS

from eventpub.collector.config import Settings
from eventpub.collector.http.server import Server

CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
NOTHING = b"GET /nowhere HTTP/1.1\r\n\r\n"


@contextlib.contextmanager
def turns_of(sent: bytes, read: Callable[[Any], object] = lambda _: None) -> Iterator[list[int]]:
    """Send it, serve it, count the turns of this greenlet meanwhile; yield those when `read` was called."""
    turns = itertools.count()
    seen: list[int] = []

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        seen.append(next(turns))
        read(environ["wsgi.input"])
        seen.append(next(turns))
        start_response("404 Not Found", [("Content-Length", "0")])
        return [b""]

    server = Server(application, Settings(listen=("127.0.0.1", 0)), None)
    server.start()
    try:
        with socket.create_connection(server.address) as peer:
            peer.sendall(sent)
            peer.shutdown(socket.SHUT_WR)
            peer.setblocking(False)
            with gevent.Timeout(DEADLINE_SECONDS):
                is_open = True
                while is_open:
                    next(turns)
                    gevent.sleep(0)
                    with contextlib.suppress(BlockingIOError):
                        is_open = bool(peer.recv(65536))
        yield seen
    finally:
        server.stop()


def test_requests_that_came_together_are_turns_apart():
    with turns_of(NOTHING * 100) as seen:
        assert len(seen) == 200
        begun = seen[::2]
        assert all(later - earlier > 2 for earlier, later in itertools.pairwise(begun))


@pytest.mark.parametrize("size_line", [b"9\r\n", b"9;name=value\r\n"])
def test_small_chunks_that_came_together_are_read_in_several_turns(size_line: bytes):
    sent = CHUNKED + (size_line + b"123456789\r\n") * 2_000 + b"0\r\n\r\n"
    bodies: list[bytes] = []
    with turns_of(sent, lambda body: bodies.append(body.read(10**6))) as (begun, ended):
        assert bodies == [b"123456789" * 2_000]
        assert ended - begun > 10
