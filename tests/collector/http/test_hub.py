"""No peer keeps the process to itself, whatever it sends: others are served, timeouts and signals work.

`test_turns.py` has what a client is hardly ever fast enough for.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import select
import signal
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
import requests
from support.collector_process import CollectorProcess
from support.paths import CERTIFICATES

BODY = b'[{"example": "value"}]'
SETTINGS = {"timeout.head": "300 ms", "timeout.body": "5 s", "timeout.stop": "200 ms"}
CHUNKED = b"POST /v2j HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


def packed_post(encoding: bytes, body: bytes) -> bytes:
    head = b"POST /v2j HTTP/1.1\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (encoding, len(body)) + body


FLOODS = {
    "pipelined unsigned batches": (b"", b"POST /v2j HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]"),
    "requests for nobody": (b"", b"GET /nothing HTTP/1.1\r\n\r\n"),
    "as many headers as may be": (b"", b"GET /nothing HTTP/1.1\r\n%s\r\n" % (b"A: b\r\n" * 90)),
    "long targets": (b"", b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 4000)),
    "bodies that wait to be asked for": (
        b"",
        b"POST /v2j HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n[]",
    ),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n"),
    "chunk extensions": (CHUNKED, b"1;%s\r\nx\r\n" % (b"x" * 60)),
    "chunks of a byte": (CHUNKED, b"1\r\nx\r\n"),
    "zeros before each chunk's size": (CHUNKED, b"%s1\r\nx\r\n" % (b"0" * 12)),
    "bodies that unpack to 8 MiB": (b"", packed_post(b"gzip", gzip.compress(bytes(8 * 2**20)))),
    "bodies of many frames": (b"", packed_post(b"zstd", b"\x50\x2a\x4d\x18\0\0\0\0" * 100_000)),
    "bodies of many members": (b"", packed_post(b"gzip", gzip.compress(b"") * 50_000)),
}


def exchange(connection: socket.socket, data: bytes, stop: threading.Event) -> None:
    """Send `data` and read the answers, in one thread: two on one `SSLSocket` can end in SIGSEGV."""
    rest = memoryview(data)
    while rest and not stop.is_set():
        select.select([connection], [connection], [], 1)
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            rest = rest[connection.send(rest) :]
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while not stop.is_set():
                if not connection.recv(2**20):
                    raise ConnectionResetError


@contextlib.contextmanager
def flooded(port: int, beginning: bytes, again: bytes, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """Send `beginning`, then `again` without an end, on a new connection where one ends; read the answers."""
    stop = threading.Event()
    block = again * max(1, 256 * 1024 // len(again))

    def flood() -> None:
        while not stop.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=1) as plain,
                tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain as connection,
            ):
                connection.setblocking(False)
                for data in itertools.chain([beginning], itertools.repeat(block)):
                    exchange(connection, data, stop)
                    if stop.is_set():
                        break

    threads = [threading.Thread(target=flood, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


@pytest.mark.parametrize("flood", ["trailers", "requests for nobody"])
def test_a_flood_through_tls_keeps_nobody_else_out(tmp_path, nursery, flood):
    settings = {**SETTINGS, "tls.certificate": str(CERTIFICATES / "server.pem")}
    authority = str(CERTIFICATES / "ca.pem")
    with CollectorProcess(tmp_path, settings=settings, faults=None, nursery=nursery) as collector:
        with flooded(collector.port, *FLOODS[flood], ssl.create_default_context(cafile=authority)):
            for _ in range(3):
                assert requests.get(f"{collector.url}/health", verify=authority, timeout=10).status_code == 200
            collector.process.send_signal(signal.SIGTERM)
            assert collector.process.wait(10) in (0, 75)
        assert "Traceback" not in collector.log()


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_without_a_key_keeps_nobody_else_out(tmp_path, nursery, flood):
    with CollectorProcess(tmp_path, settings=SETTINGS, faults=None, nursery=nursery) as collector:
        with flooded(collector.port, *FLOODS[flood]):
            for _ in range(3):
                assert collector.post(BODY).status_code == 200
            with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as late:
                late.sendall(b"POST ")
                assert late.recv(65536).startswith(b"HTTP/1.1 408 ")
            collector.process.send_signal(signal.SIGTERM)
            assert collector.process.wait(10) in (0, 75)
        assert "Traceback" not in collector.log()
