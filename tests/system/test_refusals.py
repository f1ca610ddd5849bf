"""What refuses everything is not the collector's judgement: nothing is buried, dropped or stored twice by it.

A proxy, a firewall, a gateway or a portal in the collector's place answers 400, 413 or 422 for a while, with
a page, with JSON of its own or with nothing. And a collector of which nothing is known but its statuses refuses
some events for good: these, and no others, become dead letters.
"""

from __future__ import annotations

import http.server
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.rigs import Run, numbered, put, stop_and_check, stored
from support.waiting import wait_until

from eventpub import wire
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.delivery.proof import MAX_GUESSES

PAGE = "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"
WAITS = "waits until other events are accepted"
NOT_OURS = "did not come from an eventpub collector"


@pytest.fixture
def sidecar_keys() -> dict[str, str]:
    return {"collector_version": "2j", "compression": "none"}


def answered(**fields: Any) -> dict[str, Any]:
    return {"headers": {"Content-Type": "application/json"}, "body": json.dumps(fields)}


# --- refused for hours by what is no collector


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        pytest.param({"status": 400}, WAITS, id="400, empty"),
        pytest.param({"status": 422}, WAITS, id="422, empty"),
        pytest.param({"status": 413}, WAITS, id="413, empty"),
        pytest.param({"status": 400, **answered(message="Bad Request")}, WAITS, id="400, JSON of a gateway"),
        pytest.param(
            {"status": 422, **answered(error="invalid_request", rejected=[{"index": 0}])},
            WAITS,
            id="422, JSON that looks like ours",
        ),
        pytest.param({"status": 400, "body": "No required SSL certificate was sent"}, WAITS, id="400, text"),
        pytest.param(
            {"status": 413, "headers": {"Content-Type": "text/html"}, "body": PAGE}, WAITS, id="413, page"
        ),
        *(
            pytest.param(
                {"status": status, "headers": {"Content-Type": "text/html"}, "body": PAGE},
                NOT_OURS,
                id=f"{status}, page",
            )
            for status in (400, 422)
        ),
        *(
            pytest.param({"status": 400, **answered(error=error, reason="no")}, NOT_OURS, id=error)
            for error in sorted(wire.TRANSPORT_ERRORS)
        ),
    ],
)
def test_what_refuses_everything_buries_nothing(
    refusal: dict[str, Any], said: str, run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{**refusal, "times": "forever"}])
    sidecar = run(retry_max="50 ms")
    put(queue, numbered(60))
    wait_until(lambda: said in sidecar.log(), "it says what it waits for")
    wait_until(lambda: len(collector.requests()) > 30, "it is probed")
    assert sidecar.dead_letters() == []
    collector.set_faults([])
    wait_until(lambda: len(collector.events()) >= 60, "all is stored in the end")
    assert stored(collector) == [*range(60)]
    stop_and_check(sidecar, 60)


def test_events_that_were_refused_and_are_accepted_later_are_no_dead_letters(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    """The answers flap: one good answer among refusals proves nothing about what was refused before it."""
    collector.set_faults([{"status": 400, "times": 5}, {}, {"status": 503}, {"status": 400, "times": 5}] * 3)
    sidecar = run(retry_max="50 ms", publisher_concurrency="1")
    put(queue, numbered(40))
    wait_until(lambda: len(collector.events()) >= 40, "all is stored in the end")
    assert sidecar.dead_letters() == []


def test_batch_of_bad_events_alone_is_neither_taken_apart_for_ever_nor_sent_without_a_pause(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 400, "times": "forever"}])
    sidecar = run(batch_max_age="500 ms", retry_min="20 ms", retry_max="20 ms", max_message_size="128")
    for _ in range(10):
        put(queue, numbered(10))
    wait_until(lambda: WAITS in sidecar.log(), "it says what it waits for")
    wait_until(lambda: len(collector.requests()) > 100, "it goes on for a while")
    assert len(sidecar.batches()) <= MAX_GUESSES + 3
    assert sidecar.dead_letters() == []
    moments = [request["at"] for request in collector.requests()][-50:]
    assert moments[-1] - moments[0] > 49 * 0.02 / 4  # each pause is drawn from 0 to 20 ms


# --- a collector of which nothing is known but its statuses


class Foreign(http.server.BaseHTTPRequestHandler):
    """Answers 400 without a word to a body that holds the word poison, and 200 to any other."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_bad = b"poison" in body
        if not is_bad:
            self.server.stored += json.loads(body)
        self.server.seen.append((time.monotonic(), is_bad))
        self.send_response(self.server.refusal if is_bad else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[400, 413, 422, 500, 403])
def foreign(request: pytest.FixtureRequest) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        server.daemon_threads = True
        server.refusal = request.param
        server.stored = []
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_bad_events_are_found_among_good_ones_and_no_others_are_held_up(
    run: Run, queue: MessageQueue, foreign: http.server.ThreadingHTTPServer
) -> None:
    """With 500 or 403, which say nothing about events, the bad ones wait for ever, and the others do not."""
    sidecar = run(foreign.server_port, batch_max_age="300 ms", retry_max="50 ms")
    poison = [b'{"poison":%d}' % n for n in range(2)]
    put(queue, [*numbered(4), poison[0], *numbered(2, 4), poison[1], *numbered(34, 6)])
    later = itertools.count(40)

    def have_arrived() -> bool:
        put(queue, numbered(1, next(later)))
        return {*range(40)} <= {event["n"] for event in foreign.stored}

    wait_until(have_arrived, "the good ones arrive")
    if foreign.refusal in (403, 500):
        assert sidecar.dead_letters() == []
        assert WAITS not in sidecar.log()
        return
    wait_until(lambda: len(sidecar.dead_letters()) == 2, "the bad ones are dead letters")
    events = sorted(json.loads(letter.read_text())["event"].encode() for letter in sidecar.dead_letters())
    assert events == poison
    assert sidecar.stop() == 0
    assert sidecar.ledger()["unaccounted"] == 0


@pytest.mark.parametrize("foreign", [400, 413, 422], indirect=True)
def test_single_bad_event_waits_until_another_is_accepted(
    run: Run, queue: MessageQueue, foreign: http.server.ThreadingHTTPServer
) -> None:
    sidecar = run(foreign.server_port, retry_max="50 ms")
    put(queue, [b'{"poison":1}'])
    wait_until(lambda: len(foreign.seen) > 5, "it is probed")
    assert sidecar.dead_letters() == []
    assert WAITS in sidecar.log()
    put(queue, numbered(1))
    wait_until(sidecar.dead_letters, "it is a dead letter")
    assert [event["n"] for event in foreign.stored] == [0]


@pytest.mark.parametrize("foreign", [400, 422], indirect=True)
def test_bad_event_in_every_batch_does_not_stop_the_others(
    run: Run, queue: MessageQueue, foreign: http.server.ThreadingHTTPServer
) -> None:
    """The pauses after failures are those of an outage, up to 30 s; here is none."""
    sidecar = run(foreign.server_port, batch_max_age="50 ms", retry_min="1 s", retry_max="30 s")
    for batch in range(12):
        put(queue, [*numbered(3, 10 * batch), b'{"poison":%d}' % batch, *numbered(3, 10 * batch + 3)])
        wait_until(lambda: queue.depth() == 0, "they are taken")
        time.sleep(0.05)
    expected = {10 * batch + n for batch in range(12) for n in range(6)}
    wait_until(lambda: expected <= {event["n"] for event in foreign.stored}, "the good ones arrive")
    put(queue, numbered(1, 1000))
    wait_until(lambda: len(sidecar.dead_letters()) == 12, "the bad ones are dead letters")
    assert sidecar.stop() == 0
    assert sidecar.ledger()["unaccounted"] == 0


# --- what the log says


def test_line_about_an_outage_says_what_waits_how_long_and_where_to(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    sidecar = run()
    put(queue, numbered(3))
    wait_until(lambda: "was not delivered" in sidecar.log(), "it says so")
    (line,) = [line for line in sidecar.log().splitlines() if "was not delivered" in line][:1]
    name = queue.name.removeprefix("/events-")
    assert re.search(rf"batch={name}/0/0+1\.[123]\.batch events=[123] attempt=1", line)
    assert re.search(r"next_attempt_seconds=\d+\.\d waiting_events=[123] ", line)
    assert f"url=http://127.0.0.1:{collector.port}/v2j reason=" in line
