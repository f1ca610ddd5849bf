"""The sidecar as its users run it: a real process between a real queue and a real collector."""

from __future__ import annotations

import base64
import itertools
import json
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.rigs import EVENT, numbered, put, stop_and_check, stored, wait_stored
from support.sidecar_process import SidecarProcess
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub import wire
from eventpub.errors import QueueMissingError
from eventpub.queue.message_queue import MessageQueue

# --- the way of an event ---------------------------------------------------------------------------------


def test_events_arrive_once_each_and_unchanged(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run()
    put(queue, numbered(2000))
    wait_stored(collector, range(2000))
    assert sidecar.stop() == 0
    assert sidecar.ledger() == {
        "received": 2000, "recovered": 0, "delivered": 2000,
        "dead": 0, "dropped": 0, "spooled": 0, "unaccounted": 0,
    }  # fmt: skip
    assert sidecar.batches() == []


def test_the_books_are_no_warning_where_nothing_was_lost(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run()
    put(queue, numbered(1))
    wait_stored(collector, range(1))
    assert sidecar.stop() == 0
    assert "INFO eventpub.sidecar.daemon: stopped received=1" in sidecar.log()


def test_event_on_an_idle_queue_leaves_within_the_batch_age(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    run(batch_max_age="100 ms")
    for n in range(3):
        put(queue, [EVENT % n])
        wait_stored(collector, range(n + 1))


def test_request_is_what_the_wire_says(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    run()
    put(queue, [b"{}"])
    wait_until(collector.events, "the event is stored")
    (request,) = collector.requests()
    headers = {name.lower(): value for name, value in request["headers"].items()}
    assert request["path"] == "/v2j"
    assert headers["content-type"] == "application/json"
    assert headers["content-encoding"] == "gzip"
    assert headers["x-signature"] == f"key=test, mac={wire.mac(b'hunter2', b'[{}]')}"
    assert len(headers["idempotency-key"]) == 32
    assert (headers["x-attempt"], headers["x-event-count"]) == ("1", "1")
    assert headers["date"].endswith("GMT")


def test_zstd_is_used_once_the_collector_has_said_that_it_takes_it(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    run()
    for n in range(2):
        put(queue, [EVENT % n])
        wait_stored(collector, range(n + 1))
    encodings = [request["headers"]["Content-Encoding"] for request in collector.requests()]
    assert encodings == ["gzip", "zstd"]


# --- answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503, 302])
def test_batch_is_kept_and_sent_again_under_the_same_id_after(
    status: int, run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": status, "times": 2}])
    sidecar = run()
    put(queue, [EVENT % 1])
    wait_stored(collector, [1])
    requests = collector.requests()
    assert [request["status"] for request in requests] == [status, status, 200]
    assert len({request["headers"]["Idempotency-Key"] for request in requests}) == 1
    assert [request["headers"]["X-Attempt"] for request in requests] == ["1", "2", "3"]
    assert sidecar.stop() == 0


@pytest.mark.parametrize("fault", [{"close": "before_read"}, {"close": "after_read"}, {"half_answer": True}])
def test_batch_is_kept_when_the_answer_is_missing(
    fault: dict[str, Any],
    run: Callable[..., SidecarProcess],
    queue: MessageQueue,
    collector: CollectorProcess,
) -> None:
    collector.set_faults([fault])
    run()
    put(queue, [EVENT % 1])
    wait_stored(collector, [1])


def test_answer_lost_after_acceptance_stores_nothing_twice(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"accept_then": "close"}])
    put(queue, numbered(5))  # before anybody takes them, so that they are one batch
    sidecar = run()
    wait_until(lambda: len(collector.requests()) == 2, "the batch is sent again")
    sidecar.stop()
    assert stored(collector) == [0, 1, 2, 3, 4]
    assert sidecar.ledger()["delivered"] == 5


def test_retry_after_is_honoured(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "headers": {"Retry-After": "1"}}])
    run()
    put(queue, [EVENT % 1])
    wait_stored(collector, [1])
    first, second = (request["at"] for request in collector.requests())
    assert second - first >= 1.0


def test_one_bad_event_is_bisected_out_and_all_others_arrive(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    """Text that is not UTF-8 makes the collector refuse the whole body; it cannot say which event it was."""
    sidecar = run(batch_max_age="300 ms")
    bad = b'{"name":"bad","n":5,"text":"\xff"}'
    put(queue, [*numbered(5), bad, *numbered(5, start=5)])
    wait_stored(collector, range(10))
    (letter,) = wait_until(sidecar.dead_letters, "the bad event is a dead letter")
    document = json.loads(letter.read_text())
    assert base64.b64decode(document["event_base64"]) == bad
    assert (document["reason"], document["status"]) == ("rejected", 400)
    assert {request["status"] for request in collector.requests()} == {200, 400}
    sidecar.stop()
    ledger = sidecar.ledger()
    assert (ledger["delivered"], ledger["dead"], ledger["unaccounted"]) == (10, 1, 0)


def test_events_that_the_collector_names_are_taken_out_at_once(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    good = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'
    bad = b'{"1":{"i32":7},"2":{"str":"buy"},"3":{"str":"tea"}}'
    put(queue, [good, bad, good])
    sidecar = run(collector_version="2", batch_max_age="300 ms")
    wait_until(lambda: len(collector.events()) == 2, "the good events are stored")
    assert [request["status"] for request in collector.requests()] == [422, 200]
    (letter,) = sidecar.dead_letters()
    assert json.loads(letter.read_text())["event"] == bad.decode()


def test_batch_that_is_too_large_is_halved(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 413}])
    put(queue, numbered(10))
    run(batch_max_age="300 ms")
    wait_stored(collector, range(10))
    assert [request["headers"]["X-Event-Count"] for request in collector.requests()] == ["10", "5", "5"]


def test_single_event_that_is_too_large_is_a_dead_letter(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.stop()
    collector.configure(max_compressed_size="1 KiB")
    collector.start()
    sidecar = run()
    too_large = b'{"n":1,"pad":"%s"}' % secrets.token_hex(2000).encode()
    put(queue, [too_large])
    wait_until(lambda: "waits until other events are accepted" in sidecar.log(), "it is refused")
    assert sidecar.dead_letters() == []  # every answer was a refusal so far, perhaps of something in between
    put(queue, [EVENT % 2])
    (letter,) = wait_until(sidecar.dead_letters, "the event is a dead letter")
    document = json.loads(letter.read_text())
    assert (document["reason"], document["event"]) == ("too_large", too_large.decode())
    assert stored(collector) == [2]


# --- garbage on the queue --------------------------------------------------------------------------------

GARBAGE = [
    b"garbage",
    b"",
    b"\xff\x00\xfe",
    b'{"a":1},{"b":2}',
    b'{"open":"',
    b'"}',
    b"[1]",
    b'{"n":1}}',
    b"{" * 500,
]


def test_malformed_messages_spoil_nothing_around_them(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run(batch_max_age="300 ms")
    mixed = itertools.chain.from_iterable(zip(numbered(len(GARBAGE)), GARBAGE, strict=True))
    put(queue, mixed)
    wait_stored(collector, range(len(GARBAGE)))
    wait_until(lambda: len(sidecar.dead_letters()) == len(GARBAGE), "each is a dead letter")
    assert all(request["status"] == 200 for request in collector.requests())
    sidecar.stop()
    assert sidecar.ledger()["unaccounted"] == 0


def test_messages_with_white_space_around_them_arrive_as_others_do(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    """A serializer that ends its text with a newline, or a shell: `echo '{"n":1}'`."""
    sidecar = run(batch_max_age="300 ms")
    around = [EVENT + b"\n", b" \r\n\t" + EVENT, EVENT, b" " + EVENT + b" "]
    put(queue, [event % n for n, event in enumerate(around)])
    wait_stored(collector, range(len(around)))
    assert sidecar.stop() == 0
    assert sidecar.ledger() == sidecar.ledger() | {"delivered": len(around), "dead": 0, "unaccounted": 0}


# --- signals ---------------------------------------------------------------------------------------------


def test_stop_with_the_collector_down_keeps_everything_and_the_next_start_delivers_it(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.stop()
    sidecar = run(shutdown_timeout="500 ms")
    put(queue, numbered(500))
    assert sidecar.stop() == 0
    ledger = sidecar.ledger()
    assert (ledger["received"], ledger["spooled"], ledger["unaccounted"]) == (500, 500, 0)
    collector.start()
    sidecar.start()
    wait_stored(collector, range(500))
    sidecar.stop()
    assert sidecar.ledger()["recovered"] == 500


def test_stop_takes_what_is_still_in_the_kernel_queue(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run()
    sidecar.signal(signal.SIGSTOP)
    put(queue, numbered(10))
    sidecar.signal(signal.SIGTERM)
    sidecar.signal(signal.SIGCONT)
    assert sidecar.process.wait(DEADLINE_SECONDS) == 0
    assert queue.depth() == 0
    assert stored(collector) == list(range(10))


def test_killed_sidecar_loses_nothing(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run(batch_max_age="1 h")
    put(queue, numbered(300))
    wait_until(lambda: queue.depth() == 0, "all is received")
    sidecar.kill()
    sidecar.configure(batch_max_age="50 ms")
    sidecar.start()
    wait_stored(collector, range(300))


def test_second_signal_ends_it_at_once(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"hang": True, "times": "forever"}])
    sidecar = run(shutdown_timeout="60 s")
    put(queue, [EVENT % 1])
    wait_until(collector.requests, "an attempt is in flight")
    sidecar.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in sidecar.log(), "it is stopping")
    sidecar.signal(signal.SIGINT)
    assert sidecar.process.wait(10) == 128 + signal.SIGINT
    assert len(sidecar.batches()) == 1


def test_signal_to_reload_does_not_end_it_at_once_while_it_stops(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"hang": True, "times": "forever"}])
    sidecar = run(shutdown_timeout="1 s")
    put(queue, [EVENT % 1])
    wait_until(collector.requests, "an attempt is in flight")
    sidecar.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in sidecar.log(), "it is stopping")
    sidecar.signal(signal.SIGHUP)
    assert sidecar.process.wait(10) == 0
    assert sidecar.ledger()["spooled"] == 1


def test_crash_of_a_stage_does_not_end_it_at_once_while_it_stops() -> None:
    program = """
import signal
from eventpub.sidecar import daemon
from eventpub.sidecar.signals import Wake, Wakeups
wakeups = Wakeups()
for wake in (Wake.CRASHED, Wake.SPOOL_GONE, Wake.RELOAD):
    wakeups.put(wake)
wakeups.put(Wake.STOP, signal.SIGTERM)
daemon._exit_at_second(wakeups)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=DEADLINE_SECONDS)
    assert ended.returncode == 128 + signal.SIGTERM


def test_reload_uses_the_new_settings(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run(batch_max_age="1 h")
    put(queue, numbered(3))
    sidecar.configure(batch_max_age="50 ms", compression="none")
    sidecar.signal(signal.SIGHUP)
    wait_stored(collector, range(3))
    assert "Content-Encoding" not in collector.requests()[0]["headers"]


def test_reload_changes_the_level_of_the_log(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run()
    sidecar.configure(log_level="debug")
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in sidecar.log(), "each batch is logged from now on")
    put(queue, numbered(1))
    wait_until(lambda: "batch was delivered" in sidecar.log(), "it is logged")
    sidecar.configure(log_level="info")
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: sidecar.log().count("reloaded") == 2, "no batch is logged from now on")
    put(queue, numbered(1, start=1))
    wait_stored(collector, range(2))
    stop_and_check(sidecar, 2)
    assert sidecar.log().count("batch was delivered") == 1


def test_reload_says_which_settings_need_a_restart(run: Callable[..., SidecarProcess]) -> None:
    sidecar = run()
    sidecar.configure(spool_max_size="8 MiB")
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "spool.max_size takes effect at the next start" in sidecar.log(), "it is said")


def test_reload_of_a_bad_file_is_reported_and_the_old_settings_stay(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run()
    sidecar.configure(batch_max_age="soon")
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "batch.max_age = soon" in sidecar.log(), "the mistake is reported")
    put(queue, numbered(3))
    wait_stored(collector, range(3))


# --- pressure --------------------------------------------------------------------------------------------


def test_full_spool_stops_receiving_until_the_collector_returns(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    sidecar = run(spool_max_size="4 MiB", batch_max_size="128 KiB")
    big = [b'{"name":"big","pad":"%s","n":%d}' % (b"x" * 8000, n) for n in range(1000)]
    sent = 0
    while "the spool is full" not in sidecar.log() or queue.depth() < 10:
        sent += queue.send(big[sent])
    collector.set_faults([])
    wait_until(lambda: queue.depth() == 0, "receiving goes on")
    assert f"receiving again queue={queue.name}" in sidecar.log()
    assert sidecar.stop() == 0
    assert (sidecar.ledger()["dropped"], sidecar.ledger()["unaccounted"]) == (0, 0)
    assert stored(collector) == list(range(sent))


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_full_spool_drops_and_counts_where_the_configuration_says_so(
    policy: str, run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    sidecar = run(
        spool_max_size="4 MiB", batch_max_size="128 KiB", spool_when_full=policy, shutdown_timeout="100 ms"
    )
    put(queue, [b'{"name":"big","pad":"%s","n":%d}' % (b"x" * 8000, n) for n in range(800)])
    sidecar.stop()
    ledger = sidecar.ledger()
    assert ledger["received"] == 800
    assert ledger["dropped"] > 0
    assert "WARNING eventpub.sidecar.daemon: stopped received=" in sidecar.log()
    assert ledger["unaccounted"] == 0


def test_what_was_spooled_is_never_dropped_as_the_newest_by_a_start(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    sidecar = run(spool_max_size="8 MiB", spool_when_full="drop_newest", shutdown_timeout="100 ms")
    put(queue, [b'{"name":"big","pad":"%s","n":%d}' % (b"x" * 8000, n) for n in range(800)])
    sidecar.stop()
    assert sidecar.ledger()["spooled"] == 800
    sidecar.configure(spool_max_size="4 MiB")
    sidecar.start()
    sidecar.stop()
    assert (sidecar.ledger()["spooled"], sidecar.ledger()["dropped"]) == (800, 0)


def test_dead_statsd_disturbs_nothing(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    run(metrics_endpoint="no-such-host.invalid:8125", metrics_namespace="test")
    put(queue, numbered(10))
    wait_stored(collector, range(10))


def test_metrics_reach_statsd_under_the_names_baseplate_uses(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(10)
        collector.set_faults([{"status": 503}, {"close": "before_read"}])
        run(metrics_endpoint=f"127.0.0.1:{statsd.getsockname()[1]}", metrics_namespace="shop.events")
        put(queue, numbered(3))
        seen = ""
        names = ("post:", "sent:3|c", "error.http:1|c", "error.io:1|c", "unaccounted:0|g", "spooled:0|g")
        while not all(f"shop.events.{name}" in seen for name in names):
            seen += statsd.recv(65536).decode() + "\n"


def test_queue_that_somebody_removed_is_made_anew(
    run: Callable[..., SidecarProcess], queue: MessageQueue, queue_name: str, collector: CollectorProcess
) -> None:
    sidecar = run()
    queue.unlink()
    wait_until(lambda: "creating it again" in sidecar.log(), "the sidecar notices")
    with wait_until(lambda: reopened(queue_name), "the queue is there again") as again:
        put(again, numbered(3))
        wait_stored(collector, range(3))


def test_queue_that_cannot_be_made_anew_does_not_keep_it_from_stopping(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run()
    put(queue, numbered(3))
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_MSGQUEUE, (0, 0))
    queue.unlink()
    wait_until(lambda: "the queue cannot be created again" in sidecar.log(), "it says so")
    wait_stored(collector, range(3))
    assert sidecar.stop() == 0
    assert sidecar.ledger() == sidecar.ledger() | {"delivered": 3, "unaccounted": 0}


def reopened(name: str) -> MessageQueue | None:
    try:
        return MessageQueue.open(name, create=False)
    except QueueMissingError:
        return None


def test_spool_folder_that_somebody_removed_loses_nothing_and_is_made_anew_by_the_next_start(
    run: Callable[..., SidecarProcess], queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    sidecar = run(batch_max_age="1 h", shutdown_timeout="100 ms")
    put(queue, numbered(5))
    wait_until(lambda: queue.depth() == 0, "they are in the batch that fills")
    shutil.rmtree(sidecar.spool)
    assert sidecar.process.wait(DEADLINE_SECONDS) == 73
    assert "was removed while the sidecar was running; start again" in sidecar.log()
    put(queue, numbered(5, start=5))
    collector.set_faults([])
    sidecar.configure(batch_max_age="50 ms")
    sidecar.start()
    wait_stored(collector, range(10))
