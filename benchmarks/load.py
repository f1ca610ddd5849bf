"""What a publisher stands between: a process that puts events on its queue, and one that takes its requests.

Both are as cheap as they can be and share a core that the publisher is kept off. The producer sends ready-made
bytes, each with a number of its own, at a steady rate or as fast as the queue takes them; what a full queue
refuses is counted and not repeated. The sink answers 200 at once and keeps the bodies as they are; only at the
end it unpacks them and counts the numbers.
"""

from __future__ import annotations

import gzip
import multiprocessing
import random
import re
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import posix_ipc

from benchmarks.machine import FEEDING_CORE, pinned

if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

EVENT_BYTES = 300

_FORK = multiprocessing.get_context("fork")  # spawned ones would leave a private IPC namespace
_DIFFERENT_EVENTS = 4096  # 1.2 MB, more than two batches: nothing compresses better than in real life
_NUMBER = re.compile(rb'"n([0-9]{9})"')
_EVENT_START = '{"1":{"str":"n'
_NUMBER_PLACE = slice(len(_EVENT_START), len(_EVENT_START) + 9)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a producer has done so far."""

    accepted: int
    refused: int


class Producer:
    """Sends events to a queue until it is stopped.

    Args:
        queue: the queue's name in the kernel.
        events_per_second: the rate; None for as fast as the queue takes them.
        pause_seconds: between two bursts, each of which catches up with the rate; without a rate, after each
            refusal.
    """

    def __init__(self, queue: str, events_per_second: int | None, pause_seconds: float) -> None:
        self._tally = _FORK.RawArray("q", 2)
        self._stop = _FORK.Event()
        arguments = (queue, events_per_second, pause_seconds, self._tally, self._stop)
        self._process = _FORK.Process(target=_produce, args=arguments, daemon=True)
        with pinned(FEEDING_CORE):
            self._process.start()

    def tally(self) -> Tally:
        """Return the counts as of the end of the last burst."""
        return Tally(*self._tally)

    def stop(self) -> Tally:
        """Stop it and return the final counts."""
        self._stop.set()
        self._process.join()
        return self.tally()


@dataclass(frozen=True, slots=True)
class Harvest:
    """What a sink has received; an event that came twice counts twice in `events`."""

    requests: int
    body_bytes: int
    events: int
    different_events: int


class Sink:
    """An HTTP server on a free port of 127.0.0.1 that takes everything.

    Args:
        accept_encoding: value of that header in its answers; empty for none.
    """

    def __init__(self, accept_encoding: str) -> None:
        self._pipe, other_end = _FORK.Pipe()
        self._process = _FORK.Process(target=_serve, args=(other_end, accept_encoding), daemon=True)
        with pinned(FEEDING_CORE):
            self._process.start()
        self.port: int = self._pipe.recv()

    def harvest(self) -> Harvest:
        """Stop it and count."""
        self._pipe.send("stop")
        harvest: Harvest = self._pipe.recv()
        self._process.join()
        return harvest


def sample_events() -> list[bytearray]:
    """Return events as an application serializes them, of `EVENT_BYTES` each."""
    rng = random.Random(1)
    events = []
    for _ in range(_DIFFERENT_EVENTS):
        version = rng.randrange(100, 130)
        event = (
            f'{_EVENT_START}000000000"}},"2":{{"str":"{rng.choice(("view", "click", "buy", "share"))}"}},'
            f'"3":{{"str":"{rng.choice(("product", "basket", "review"))}"}},'
            f'"5":{{"i64":{1_763_690_000_000 + rng.randrange(60_000)}}},'
            f'"6":{{"str":"{uuid.UUID(int=rng.getrandbits(128), version=4)}"}},'
            f'"100":{{"rec":{{"1":{{"i64":{rng.randrange(10**9)}}},"2":{{"tf":{rng.randrange(2)}}}}}}},'
            f'"107":{{"rec":{{"1":{{"str":"/{rng.choice(("tea", "cups"))}/{rng.randrange(10_000)}"}},'
            '"2":{"str":"'
        )
        agent = f"Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0 " * 2
        end = '"}}}}'
        events.append(bytearray(f"{event}{agent[: EVENT_BYTES - len(event) - len(end)]}{end}".encode()))
    return events


def _produce(
    name: str, events_per_second: int | None, pause_seconds: float, tally: MutableSequence[int], stop: Event
) -> None:
    queue = posix_ipc.MessageQueue(name)
    queue.block = False
    send, events = queue.send, sample_events()
    number = refused = 0
    started = time.monotonic()
    while not stop.is_set():
        if events_per_second is None:
            due = number + 1000
        else:
            due = int((time.monotonic() - started) * events_per_second)
        for number in range(number, due):  # noqa: B020, goes on where it was
            event = events[number % _DIFFERENT_EVENTS]
            event[_NUMBER_PLACE] = b"%09d" % number
            try:
                send(event)
            except posix_ipc.BusyError:
                refused += 1
                if events_per_second is None:
                    time.sleep(pause_seconds)
        number = due
        tally[:] = number - refused, refused
        if events_per_second is not None:
            time.sleep(pause_seconds)


def _serve(pipe: Connection, accept_encoding: str) -> None:
    bodies: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append((self.headers.get("Content-Encoding", ""), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            if accept_encoding:
                self.send_header("Accept-Encoding", accept_encoding)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a publisher that was stopped in the middle of a request

    server = Server(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.recv()
    numbers = [number for encoding, body in bodies for number in _NUMBER.findall(_unpack(encoding, body))]
    body_bytes = sum(len(body) for _, body in bodies)
    pipe.send(Harvest(len(bodies), body_bytes, len(numbers), len(set(numbers))))


def _unpack(encoding: str, body: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "zstd":
        import zstandard  # noqa: PLC0415, an extra, which a sidecar that sends it has

        return zstandard.ZstdDecompressor().decompress(body)
    return body
