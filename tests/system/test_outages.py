"""Every way in which a collector can be out of reach or out of its mind, on real processes and sockets.

Each time the same is promised: receiving goes on, and once the collector is back, each event is stored once,
none is missing, and the books balance.
"""

from __future__ import annotations

import http.server
import itertools
import signal
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.line import Line
from support.nursery import Nursery
from support.paths import CERTIFICATES
from support.rigs import EVENT, Run, numbered, put, requests_since, stop_and_check, stored, wait_stored
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue

SOON = {"collector_timeout": "100 ms"}  # where an answer that is late has to be given up


@pytest.fixture
def target_port(line: Line) -> int:
    return line.port


# --- no way to the collector


@pytest.mark.parametrize(
    ("outage", "said"),
    [
        ("refused", "kind=refused"),
        ("reset", "kind=reset"),
        ("reset_midway", "kind=reset"),
        ("silent", "kind=timeout"),
        ("black_hole", "kind=timeout"),
        ("garbage", "kind=other"),
        ("portal", "the reply did not come from an eventpub collector"),
        ("half_head", "kind=reset"),
        ("broken_chunk", "kind=malformed"),
        ("broken_length", "kind=malformed"),
        ("flood", "kind=malformed"),
    ],
)
def test_outage_loses_nothing_and_stores_nothing_twice(  # noqa: PLR0917, fixtures
    outage: str, said: str, run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    """The queue holds ten messages, so a hundred go through it only while the sidecar receives."""
    sidecar = run(**SOON)
    put(queue, numbered(30))
    wait_stored(collector, range(30))
    line.break_(outage)
    put(queue, numbered(30, 30))
    wait_until(lambda: said in sidecar.log(), "the outage is noticed")
    put(queue, numbered(40, 60))
    wait_until(lambda: queue.depth() == 0 and len(sidecar.batches()) > 1, "receiving goes on")
    assert len(stored(collector)) == 30
    line.mend()
    wait_stored(collector, range(100))
    stop_and_check(sidecar, 100)


def test_informational_answers_before_each_answer_change_nothing(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    """A1: each batch got the answer to the one before; what a 503 was for counted as accepted."""
    started = time.time()
    with Line(collector.port, hints=True) as line:
        sidecar = run(line.port)
        put(queue, numbered(60))
        wait_stored(collector, range(60))
        stop_and_check(sidecar, 60)
    ids = [request["batch_id"] for request in requests_since(collector, started)]
    assert len(set(ids)) == len(ids)


def test_collector_without_a_name_is_waited_for(
    run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    sidecar = run(collector_hostname="no-such-host.invalid")
    put(queue, numbered(30))
    wait_until(lambda: "kind=dns" in sidecar.log(), "the outage is noticed")
    sidecar.configure(collector_hostname=f"localhost:{line.port}")
    sidecar.signal(signal.SIGHUP)
    wait_stored(collector, range(30))
    stop_and_check(sidecar, 30)


def test_collector_that_is_not_trusted_gets_nothing_until_it_is(
    nursery: Nursery, run: Run, queue: MessageQueue, tmp_path: Path
) -> None:
    certificate = str(CERTIFICATES / "server.pem")
    settings = {"tls.certificate": certificate, "tls.key": certificate}
    with CollectorProcess(tmp_path, faults=None, settings=settings, nursery=nursery) as collector:
        sidecar = run(collector.port, collector_scheme="https")
        put(queue, numbered(30))
        wait_until(lambda: "kind=tls" in sidecar.log(), "the outage is noticed")
        assert stored(collector) == []
        sidecar.configure(collector_ca_file=str(CERTIFICATES / "ca.pem"))
        sidecar.signal(signal.SIGHUP)
        wait_stored(collector, range(30))
        stop_and_check(sidecar, 30)


# --- a collector that answers, but not as it should


@pytest.mark.parametrize(
    "fault",
    [
        {"accept_then": "close"},
        {"half_answer": True},
        {"half_answer": True, "status": 503},
        {"close": "before_read"},
        {"close": "after_read"},
        {"delay": 0.25},  # longer than its sender waits, but it stores the batch
        {"hang": True},
        {"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html>a portal</html>"},
        {"status": 200, "headers": {"Content-Length": "nine"}},
        {"status": 200, "headers": {"Transfer-Encoding": "chunked"}},
    ],
    ids=str,
)
def test_answer_that_is_lost_late_or_wrong_stores_nothing_twice(
    fault: dict[str, Any], run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{**fault, "times": 3}])
    since = time.time()
    sidecar = run(**SOON)
    put(queue, numbered(5))
    wait_until(lambda: len(requests_since(collector, since)) > 3, "the batch is sent until its answer arrives")
    wait_stored(collector, range(5))
    wait_until(lambda: not sidecar.batches(), "the spool is empty")
    stop_and_check(sidecar, 5)
    ids = [request["batch_id"] for request in requests_since(collector, since)]
    assert len(set(ids[:4])) <= 2  # one batch, or two where the events came in two


def test_every_5xx_is_waited_out(run: Run, queue: MessageQueue, collector: CollectorProcess) -> None:
    statuses = [500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 599]
    collector.set_faults([{"status": status} for status in statuses])
    since = time.time()
    sidecar = run(retry_max="50 ms")
    put(queue, [EVENT % 0])
    wait_stored(collector, range(1))
    assert [request["status"] for request in requests_since(collector, since)] == [*statuses, 200]
    assert len({request["batch_id"] for request in requests_since(collector, since)}) == 1
    stop_and_check(sidecar, 1)


def test_retry_after_is_honoured_in_both_forms(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    since = time.time()
    date = int(since) + 3
    collector.set_faults(
        [
            {"status": 429, "headers": {"Retry-After": "1"}},
            {"status": 429, "headers": {"Retry-After": formatdate(date, usegmt=True)}},
        ]
    )
    sidecar = run()
    put(queue, [EVENT % 0])
    wait_stored(collector, range(1))
    first, second, third = (request["at"] for request in requests_since(collector, since))
    assert second - first >= 1.0
    assert third >= date
    stop_and_check(sidecar, 1)


def test_slow_answers_are_waited_for(run: Run, queue: MessageQueue, collector: CollectorProcess) -> None:
    collector.set_faults([{"delay": 0.3, "times": 3}])
    since = time.time()
    sidecar = run()
    put(queue, numbered(50))
    wait_stored(collector, range(50))
    wait_until(lambda: not sidecar.batches(), "the spool is empty")
    assert {request["attempt"] for request in requests_since(collector, since)} == {"1"}
    stop_and_check(sidecar, 50)


# --- a collector that stops taking an encoding


@pytest.mark.parametrize(
    ("offers", "used"),
    [
        (["gzip"], ["gzip", "zstd", "gzip"]),  # it says what it still takes
        (["", ""], ["gzip", "zstd", "gzip", None]),  # it does not say
        (["gzip, zstd"], ["gzip", "zstd", "gzip"]),  # it, or what stands before it, contradicts itself
    ],
)
def test_encoding_that_is_refused_gives_way_to_the_next(
    offers: list[str], used: list[str | None], run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{}, *({"status": 415, "headers": {"Accept-Encoding": offer}} for offer in offers)])
    since = time.time()
    sidecar = run(collector_timeout="5 s")
    put(queue, [EVENT % 0])
    wait_until(lambda: stored(collector) == [0], "the first event is stored")
    put(queue, [EVENT % 1])
    wait_stored(collector, range(2))
    assert [request["headers"].get("Content-Encoding") for request in requests_since(collector, since)] == used
    stop_and_check(sidecar, 2)


# --- one batch that the collector chokes on


class Choking(http.server.BaseHTTPRequestHandler):
    """Answers 500 to whatever holds the word poison, for as long as the server is ill."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_poisoned = b"poison" in body and self.server.is_ill
        self.server.seen.append((time.monotonic(), is_poisoned, body))
        self.send_response(500 if is_poisoned else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def choking() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Choking) as server:
        server.daemon_threads = True
        server.is_ill = True
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_batch_that_is_always_answered_500_holds_up_no_other(
    run: Run, queue: MessageQueue, choking: http.server.ThreadingHTTPServer
) -> None:
    keys = {"retry_max": "10 s", "batch_max_age": "10 ms", "compression": "none"}
    sidecar = run(choking.server_port, **keys)
    queue.send(b'{"name":"poison"}')
    wait_until(lambda: choking.seen, "the poisoned batch is tried")
    for n in range(40):
        queue.send(b'{"n":%d}' % n)
        wait_until(lambda n=n: any(b'{"n":%d}' % n in body for _, _, body in choking.seen), "it is delivered")
    poisoned = [is_poisoned for _, is_poisoned, _ in choking.seen]
    assert sum(poisoned) < 20  # at 50 ms, 100, 200, …: ever less often, though the others succeed meanwhile
    choking.is_ill = False
    sidecar.signal(signal.SIGHUP)  # a person who has mended the collector need not wait for the next attempt
    wait_until(lambda: not sidecar.batches(), "the batch is delivered in the end")
    stop_and_check(sidecar, 41)


# --- fresh events while a backlog drains


def test_fresh_event_does_not_wait_for_the_backlog(
    run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    """A backlog of sixty batches, a collector that needs 50 ms for each, and now and then an event."""
    line.break_("refused")
    sidecar = run(batch_max_age="10 ms", publisher_concurrency="2", shutdown_timeout="100 ms")
    numbers = itertools.count()

    def grow() -> bool:
        put(queue, [EVENT % next(numbers)])
        return len(sidecar.batches()) >= 60

    wait_until(grow, "there is a backlog")
    collector.set_faults([{"delay": 0.05, "times": "forever"}])
    line.mend()
    wait_until(lambda: stored(collector), "the backlog drains")
    for _ in range(3):
        fresh = next(numbers)
        put(queue, [EVENT % fresh])
        wait_until(lambda n=fresh: n in stored(collector), "the fresh event is stored")
        assert len(sidecar.batches()) > 15, "older batches still wait"
    collector.set_faults([])
    wait_stored(collector, range(next(numbers)))
