"""Misbehaviour goes by the script, and the log tells what came."""

from __future__ import annotations

import gzip
import http.client
import socket
import time
from collections.abc import Iterator

import pytest
import requests
from support.collector_process import CollectorProcess
from support.waiting import wait_until

from eventpub.collector.faults import Faults, Step, read_script

BODY = b'[{"example": "value"}]'


@pytest.fixture(scope="module")
def running(nursery, tmp_path_factory) -> Iterator[CollectorProcess]:
    with CollectorProcess(tmp_path_factory.mktemp("collector"), nursery=nursery) as collector:
        yield collector


@pytest.fixture
def collector(running) -> CollectorProcess:
    running.set_faults([])
    return running


def outcome(collector: CollectorProcess, batch_id: str = "") -> int | type[BaseException]:
    """The status a POST is answered with, or the exception that http.client raises for it."""
    connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=10)
    headers = {"X-Signature": "key=test, mac=7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179"}
    try:
        connection.request("POST", "/v2j", BODY, {**headers, "Idempotency-Key": batch_id})
        response = connection.getresponse()
        response.read()
    except (http.client.HTTPException, OSError) as error:
        return type(error)
    else:
        return response.status
    finally:
        connection.close()


def test_without_a_script_service_is_as_usual(collector):
    assert outcome(collector, "usual") == 200
    assert len(collector.events("usual")) == 1


def test_a_status_is_answered_with_its_headers_and_body_and_nothing_is_stored(collector):
    collector.set_faults([{"status": 503, "headers": {"Retry-After": "2"}, "body": "later"}])
    response = collector.post(BODY, {"Idempotency-Key": "status"})
    assert (response.status_code, response.reason, response.text) == (503, "Service Unavailable", "later")
    assert response.headers["Retry-After"] == "2"
    assert response.headers["Accept-Encoding"] == "gzip, zstd"
    assert collector.events("status") == []


def test_a_status_that_has_no_name_can_be_answered_too(collector):
    collector.set_faults([{"status": 599}])
    assert outcome(collector) == 599


@pytest.mark.parametrize("moment", ["before_read", "after_read"])
def test_a_connection_is_closed_without_an_answer_and_nothing_is_stored(collector, moment):
    collector.set_faults([{"close": moment}])
    assert outcome(collector, moment) in (http.client.RemoteDisconnected, ConnectionResetError)
    assert collector.events(moment) == []
    assert collector.requests()[-1]["body_bytes"] == (0 if moment == "before_read" else 22)


def test_accept_then_close_stores_the_batch_and_loses_the_answer(collector):
    collector.set_faults([{"accept_then": "close"}])
    assert outcome(collector, "lost") is http.client.RemoteDisconnected
    assert len(collector.events("lost")) == 1
    assert collector.requests()[-1]["status"] == 200
    assert collector.post(BODY, {"Idempotency-Key": "lost"}).json()["duplicate"] is True


def test_half_an_answer_is_cut_in_its_middle(collector):
    collector.set_faults([{"half_answer": True}, {"half_answer": True, "status": 503, "body": "later"}])
    assert outcome(collector, "half") is http.client.IncompleteRead
    assert len(collector.events("half")) == 1
    assert outcome(collector, "half of 503") is http.client.IncompleteRead
    assert collector.events("half of 503") == []


def test_a_delay_comes_before_whatever_else(collector):
    collector.set_faults([{"delay": 0.3, "status": 500}, {"delay": 0.3}])
    for expected in (500, 200):
        started = time.monotonic()
        assert outcome(collector) == expected
        assert time.monotonic() - started >= 0.3


def test_a_hanging_request_gets_nothing_until_the_sender_gives_up(collector):
    collector.set_faults([{"hang": True}])
    with socket.create_connection(("127.0.0.1", collector.port), timeout=0.3) as connection:
        connection.sendall(b"POST /v2j HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert outcome(collector) == 200


@pytest.mark.parametrize("delay", [0, 0.3], ids=["before", "after"])
def test_a_request_that_hangs_before_or_after_sigterm_does_not_delay_the_end(nursery, tmp_path, delay):
    with (
        CollectorProcess(tmp_path, faults=[{"delay": delay, "hang": True}], nursery=nursery) as collector,
        socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection,
    ):
        connection.sendall(b"POST /v2j HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]")
        wait_until(collector.requests, "the request is in flight")
        started = time.monotonic()
        assert collector.stop() == 0
        assert time.monotonic() - started < 5
        assert connection.recv(1) == b""


def test_a_sender_that_is_gone_before_a_scripted_answer_leaves_no_traceback(collector):
    collector.set_faults([{"status": 500}])
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(b"POST /v2j HTTP/1.1\r\nContent-Length: 2\r\n\r\n[")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert "Traceback" not in collector.log()


def test_steps_repeat_as_often_as_they_say_and_only_posts_take_one(collector):
    collector.set_faults([{"status": 500, "times": 2}, {}, {"status": 429, "times": "forever"}])
    found = []
    for _ in range(6):
        requests.get(f"{collector.url}/health", timeout=10).raise_for_status()
        found.append(outcome(collector))
    assert found == [500, 500, 200, 429, 429, 429]


def test_a_new_script_ends_the_one_before(collector):
    collector.set_faults([{"status": 500, "times": "forever"}])
    assert outcome(collector) == 500
    collector.set_faults([{"status": 502}])
    assert [outcome(collector), outcome(collector)] == [502, 200]


def test_the_log_tells_what_came_and_how_it_was_answered(collector):
    collector.set_faults([{"status": 503}])
    before = len(collector.requests())
    sent = gzip.compress(BODY)
    headers = {"Idempotency-Key": "logged", "X-Event-Count": "1", "Content-Encoding": "gzip"}
    for attempt in ("1", "2"):
        collector.post(BODY, {**headers, "X-Attempt": attempt}, sent=sent)
    first, second = collector.requests()[before:]
    assert (first["status"], second["status"]) == (503, 200)
    assert (first["attempt"], second["attempt"]) == ("1", "2")
    for request in (first, second):
        assert request["path"] == "/v2j"
        assert request["batch_id"] == "logged"
        assert request["body_bytes"] == len(sent)
        assert request["headers"]["X-Event-Count"] == "1"
        assert request["headers"]["Content-Length"] == str(len(sent))
        assert time.time() - 60 < request["at"] <= time.time()


@pytest.mark.parametrize("script", [b"", b"{}", b'[{"status": 99}]', b"\xff"])
def test_a_bad_script_is_refused_and_the_one_before_stays(collector, script):
    collector.set_faults([{"status": 418}])
    response = requests.put(f"{collector.url}/faults", data=script, timeout=10)
    assert (response.status_code, response.json()["error"]) == (400, "bad_script")
    assert outcome(collector) == 418


def test_faults_are_out_of_reach_unless_asked_for(nursery, tmp_path):
    with CollectorProcess(tmp_path, faults=None, nursery=nursery) as collector:
        assert requests.put(f"{collector.url}/faults", data=b"[]", timeout=10).status_code == 404
        assert requests.get(f"{collector.url}/faults/log", timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.2", "200 OK"), ("::1", "200 OK"), ("192.0.2.1", "403 Forbidden")]
)
def test_faults_are_scripted_from_the_loopback_only(address, status):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/faults/log", "REMOTE_ADDR": address}
    started = []
    Faults(lambda *_: [], [])(environ, lambda *start: started.append(start))
    assert started[0][0] == status


# --- scripts ---------------------------------------------------------------------------------------------


def test_a_script_is_a_list_of_steps():
    assert read_script(b'[{"status": 503, "times": "forever"}, {"delay": 1, "hang": true}]') == [
        Step(status=503, times="forever"),
        Step(delay=1, hang=True),
    ]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (b"7", "expected a list of objects"),
        (b"[7]", "expected a list of objects"),
        (b'[{}, {"stauts": 1}]', r"step 2: unknown key 'stauts' \(known: status, headers,"),
        (b'[{"status": true}]', "step 1: status takes a status from 200 to 599, not True"),
        (b'[{"status": 600}]', "status takes"),
        (b'[{"headers": {"Retry-After": 2}}]', "headers takes an object of texts"),
        (b'[{"body": {}}]', "body takes a text"),
        (b'[{"close": "now"}]', "close takes before_read or after_read"),
        (b'[{"delay": -1}]', "delay takes seconds"),
        (b'[{"accept_then": "hang"}]', "accept_then takes close"),
        (b'[{"half_answer": 1}]', "half_answer takes true or false"),
        (b'[{"hang": "yes"}]', "hang takes true or false"),
        (b'[{"times": 0}]', "times takes a number from 1, or forever"),
    ],
)
def test_a_mistake_in_a_script_is_named(script, message):
    with pytest.raises(ValueError, match=message):
        read_script(script)
