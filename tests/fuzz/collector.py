"""Many mutated requests to a real collector: `python -m fuzz.collector 100000 [SEED]`.

Each is on a connection of its own, and the sender says that no more comes, keeps silent, or is gone at once. A
third is signed after it was changed, or nothing behind the signature would see it. Every answer must be one of
those that the collector has; 500 is none. Meanwhile somebody else asks for its health again and again.
"""

from __future__ import annotations

import contextlib
import gzip
import random
import re
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from fuzz.targets import BODY, EVENT_2, ID, SECRET
from fuzz.volume import mutate
from support.collector_process import KEY_NAME, CollectorProcess

from eventpub import wire

MAX_SECONDS = 1.0
MAX_GROWTH_MIB = 64
SETTINGS = {
    "timeout.head": "200 ms",
    "timeout.body": "200 ms",
    "timeout.idle": "200 ms",
    "max_body_size": "1 MiB",
}
STATUSES = {100, 200, 400, 401, 404, 405, 408, 409, 411, 413, 415, 422, 431, 503}

_THREADS = 8
_WARM_UP = 1_000
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [A-Z]")
_ENCODERS = {b"": bytes, b"gzip": gzip.compress, b"zstd": zstandard.compress}
_BODIES = {
    b"2j": [BODY, b'[{"a":[1.5e3,null,"\\ud83d\\ude00"]},{}]', b"[]"],
    b"2": [wire.container("2", [EVENT_2, EVENT_2]), wire.container("2", [EVENT_2])],
}


def post(version: bytes, plain: bytes, encoding: bytes, *headers: bytes) -> bytes:
    """Return a signed batch."""
    sent = _ENCODERS[encoding](plain)
    lines = [
        b"POST /v%s HTTP/1.1" % version,
        b"X-Signature: " + wire.signature(KEY_NAME, SECRET, plain).encode(),
        *([b"Content-Encoding: " + encoding] if encoding else []),
        *(headers or (b"Content-Length: %d" % len(sent),)),
    ]
    return b"\r\n".join([*lines, b"", sent])


_SEEDS = [
    *(
        post(version, plain, encoding)
        for version in _BODIES
        for plain in _BODIES[version]
        for encoding in _ENCODERS
    ),
    post(b"2j", BODY, b"", b"Content-Length: 22", b"Idempotency-Key: " + ID.encode(), b"X-Event-Count: 1"),
    post(b"2j", BODY, b"", b"Content-Length: 22", b"X-Parent-Batch: a, b", b"Expect: 100-continue"),
    post(b"2j", BODY, b"", b"Content-Length: 22", b"Date: Tue, 20 Apr 2021 02:07:53 GMT"),
    post(
        b"2j",
        BODY,
        b"",
        b"Content-Length: 22",
        b'Signature-Input: a=("@method");keyid="test"',
        b"Signature: a=:eA==:",
    ),
    post(b"2j", b"", b"", b"Transfer-Encoding: chunked") + b"5;x=y\r\n[{}  \r\n1\r\n]\r\n0\r\nA: b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: collector\r\n\r\n",
    b"HEAD http://collector/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n" * 3,
]


def draw_request(randomness: random.Random) -> bytes:
    """Return a request, mutated before or after it was signed."""
    if randomness.randrange(3):
        return mutate(_SEEDS, randomness)
    version = randomness.choice([*_BODIES])
    plain = mutate(_BODIES[version], randomness)[: 2**20]
    return post(version, plain, randomness.choice([*_ENCODERS]))


@dataclass
class Figures:
    """What came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest_seconds: float = 0.0  # of a request whose sender said that no more comes
    slowest_health_seconds: float = 0.0
    grown_mib: float = 0.0

    def __str__(self) -> str:
        answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(self.statuses.items()))
        return (
            f"answers: {answers}; the slowest took {self.slowest_seconds * 1000:.0f} ms, health "
            f"{self.slowest_health_seconds * 1000:.0f} ms, memory grew by {self.grown_mib:.1f} MiB"
        )


def try_request(port: int, request: bytes, randomness: random.Random) -> tuple[list[int], float]:
    """Send a request; return the statuses of its answers, and the time it took where none was meant to pass."""
    end = randomness.randrange(10)
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # it may be refused before it was sent
            connection.sendall(request)
            if end == 0:  # gone
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return [], 0.0
            if end > 1:  # complete
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(2**16):
                answer += data
    seconds = time.monotonic() - started
    assert answer[:9] in (b"HTTP/1.1 ", b""), f"{answer[:100]!r} to {request[:2000]!r}"
    statuses = [int(status) for status in _STATUS_LINE.findall(answer)]
    assert set(statuses) <= STATUSES, f"{statuses} to {request[:2000]!r}"
    return statuses, seconds if end > 1 else 0.0


def try_requests(collector: CollectorProcess, count: int, seed: int) -> Figures:
    """Send `count` requests, some at a time."""
    figures = Figures()
    with watched_health(collector.port, figures), ThreadPoolExecutor(_THREADS) as threads:
        shares = [
            threads.submit(_try_share, collector, range(n, count, _THREADS), seed, figures)
            for n in range(_THREADS)
        ]
        for share in shares:
            share.result()
    log = collector.log()
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
    return figures


def _try_share(collector: CollectorProcess, numbers: range, seed: int, figures: Figures) -> None:
    for number in numbers:
        randomness = random.Random(f"{seed} {number}")
        statuses, seconds = try_request(collector.port, draw_request(randomness), randomness)
        figures.statuses.update(statuses)
        figures.slowest_seconds = max(figures.slowest_seconds, seconds)


@contextlib.contextmanager
def watched_health(port: int, figures: Figures) -> Iterator[None]:
    """Ask for the collector's health all the while."""
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            started = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 200"
            figures.slowest_health_seconds = max(figures.slowest_health_seconds, time.monotonic() - started)

    with ThreadPoolExecutor(1) as thread:
        watch = thread.submit(ask)
        try:
            yield
        finally:
            done.set()
            watch.result()


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main(count: int, seed: int) -> int:
    """Run it; return an exit code."""
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        CollectorProcess(Path(folder), settings=SETTINGS, faults=None) as collector,
    ):
        assert collector.process is not None
        try_requests(collector, min(count, _WARM_UP), seed - 1)
        before = resident_mib(collector.process.pid)
        figures = try_requests(collector, count, seed)
        figures.grown_mib = resident_mib(collector.process.pid) - before
        assert collector.stop() == 0
    print(f"{count:,} requests of seed {seed} in {time.monotonic() - started:.0f} s; {figures}")
    slowest_seconds = max(figures.slowest_seconds, figures.slowest_health_seconds)
    return int(slowest_seconds > MAX_SECONDS or figures.grown_mib > MAX_GROWTH_MIB)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int((sys.argv[2:] or ["1"])[0])))
