"""Slow is not dead, and the slow do not starve the others."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
import time
from collections.abc import Iterator

import pytest
from support.collector_process import CollectorProcess
from support.rigs import Run
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue

LARGE_BYTES = 3000


class Swallowing(http.server.BaseHTTPRequestHandler):
    """Answers small bodies at once and large ones never, as a path does that loses full packets.

    It does not know a batch that comes again, so where an answer is late, events are stored twice.
    """

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.server
        if len(body) > LARGE_BYTES and path.is_ill:
            with path.lock:
                path.hanging += 1
            time.sleep(0.05)  # until one that its sender has given up before is counted out
            with path.lock:
                path.large.append((path.hanging, len(path.stored)))
            self.connection.settimeout(20)
            self.connection.recv(1)  # until the sender gives up
            with path.lock:
                path.hanging -= 1
            self.close_connection = True
            return
        path.stored += (event["n"] for event in json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def path() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Swallowing) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.is_ill = True
        server.lock = threading.Lock()
        server.hanging = 0
        server.large = []  # how many hung with it, and how many were stored when it came
        server.stored = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def sidecar_keys() -> dict[str, str]:
    return {"collector_version": "2j", "compression": "none"}


def small(n: int) -> bytes:
    return b'{"n":%d}' % n


def large(n: int) -> bytes:
    return b'{"n":%d,"pad":"%s"}' % (n, b"x" * 2 * LARGE_BYTES)


@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_batches_that_time_out_do_not_starve_the_others(
    concurrency: int, run: Run, queue: MessageQueue, path: http.server.ThreadingHTTPServer
) -> None:
    """With several slots, the small ones never wait for a large one once that is known to time out."""
    keys = {"batch_max_age": "10 ms", "collector_timeout": "300 ms", "retry_max": "50 ms"}
    sidecar = run(path.server_port, publisher_concurrency=str(concurrency), **keys)
    for n in range(6):
        assert queue.send(large(1000 + n))
        wait_until(lambda n=n: len(sidecar.batches()) > n, "it is a batch of its own")
    waited = []
    smalls = 10 if concurrency == 1 else 40
    for n in range(smalls):
        began = time.monotonic()
        assert queue.send(small(n))
        wait_until(lambda n=n: n in path.stored, "the small one arrives")
        waited.append(time.monotonic() - began)
    assert sorted(waited)[len(waited) // 2] < 0.3 if concurrency > 1 else max(waited) < 10
    later = [hanging for hanging, stored in path.large if stored >= smalls // 2]
    assert max(later, default=0) <= 1
    path.is_ill = False
    wait_until(lambda: len(set(path.stored)) == smalls + 6, "the large ones arrive once they can")
    assert sidecar.stop() == 0
    assert sidecar.ledger()["unaccounted"] == 0


def test_batch_that_keeps_timing_out_is_halved_until_it_gets_through(
    run: Run, queue: MessageQueue, path: http.server.ThreadingHTTPServer
) -> None:
    """Nothing else is there to be sent, and nothing gets through as large as it is."""
    keys = {"batch_max_age": "300 ms", "collector_timeout": "200 ms", "retry_max": "50 ms"}
    sidecar = run(path.server_port, **keys)
    for n in range(9):
        assert queue.send(b'{"n":%d,"pad":"%s"}' % (n, b"x" * 1000))
    wait_until(lambda: {*path.stored} == {*range(9)}, "all arrive, in smaller batches")
    wait_until(lambda: not sidecar.batches(), "nothing is left")
    assert sidecar.dead_letters() == []


def test_outage_in_which_everything_times_out_does_not_take_batches_apart_for_ever(
    run: Run, queue: MessageQueue, path: http.server.ThreadingHTTPServer
) -> None:
    keys = {"batch_max_age": "300 ms", "collector_timeout": "50 ms", "retry_min": "10 ms", "retry_max": "10 ms"}
    sidecar = run(path.server_port, **keys)
    for n in range(9):
        assert queue.send(large(n))
    wait_until(lambda: len(path.large) > 60, "it goes on for a while")
    assert len(sidecar.batches()) <= 9
    path.is_ill = False
    wait_until(lambda: {*path.stored} == {*range(9)}, "all arrive in the end")


def test_encodings_refused_in_turn_are_not_tried_without_a_pause(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    offers = itertools.cycle(["gzip", "zstd"])
    collector.set_faults([{"status": 415, "headers": {"Accept-Encoding": next(offers)}} for _ in range(60)])
    sidecar = run(collector.port, compression="auto", retry_min="20 ms", retry_max="20 ms")
    assert queue.send(small(1))
    wait_until(lambda: len(collector.requests()) > 60, "they are refused, and then taken")
    moments = [request["at"] for request in collector.requests()]
    assert moments[-1] - moments[0] > 50 * 0.02 / 4  # each pause is drawn from 0 to 20 ms
    assert "did not come from an eventpub collector" in sidecar.log()
    wait_until(collector.events, "it is stored")
