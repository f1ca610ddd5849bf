"""The sidecar's books, metrics and log lines: `sidecar/telemetry/metrics.py`."""

from __future__ import annotations

import logging
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clocks import Clock
from support.statsd import Statsd
from support.waiting import DEADLINE_SECONDS

from eventpub.process.log_limit import LOG_SECONDS
from eventpub.sidecar.delivery.answer import Answer, judge_answer
from eventpub.sidecar.telemetry.ledger import Ledger
from eventpub.sidecar.telemetry.metrics import LOOKUP_SECONDS, Telemetry
from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason
from eventpub.sidecar.telemetry.statsd_names import STATSD_METRICS


def note(telemetry: Telemetry, answer: Answer) -> None:
    """What the sender tells of an attempt at a batch of 300 events."""
    telemetry.answered(
        judge_answer(answer),
        batch="000000000001.300.batch",
        events=300,
        attempt=2,
        status=answer.status,
        kind=answer.kind,
        reason=answer.reason,
    )


NO_SUCH_HOST = "fe80::1%nowhere"  # fails in the resolver without asking a name server


@pytest.fixture
def telemetry(statsd) -> Iterator[Telemetry]:
    made = Telemetry("shop.events", statsd.address)
    yield made
    made.close()


# --- the ledger


def test_the_ledger_tells_all_counts_and_their_difference():
    ledger = Ledger(received=10, recovered=5, delivered=7, dead=1, dropped=2, spooled=4)
    assert ledger.unaccounted == 1
    told = " ".join(f"{name}={count}" for name, count in ledger.facts().items())
    assert told == "received=10 recovered=5 delivered=7 dead=1 dropped=2 spooled=4 unaccounted=1"


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["receive", "recover", "deliver", "bury", *DropReason]), st.integers(0, 1000))
    )
)
def test_whatever_happens_to_events_the_books_balance(steps):
    telemetry = Telemetry()
    for step, wanted in steps:
        events = min(wanted, telemetry.spooled)  # no more can leave than there are
        if step == "receive":
            telemetry.received(wanted, 0)
            telemetry.spooled += wanted
        elif step == "recover":
            telemetry.recovered(wanted)
            telemetry.spooled += wanted
        else:
            telemetry.spooled -= events
            if step == "deliver":
                telemetry.delivered(events, 0)
            elif step == "bury":
                telemetry.dead(events, DeadReason.REJECTED)
            else:
                telemetry.dropped(events, step)
        assert telemetry.ledger().unaccounted == 0


def test_an_event_that_leaves_without_being_counted_is_unaccounted_for_and_logged(telemetry, statsd, caplog):
    telemetry.received(3, 900)
    telemetry.spooled = 2
    telemetry.flush()
    assert "shop.events.unaccounted:1|g" in statsd.lines()
    assert "events are unaccounted for received=3" in caplog.text


def test_an_event_that_comes_from_nowhere_is_unaccounted_for_too(telemetry, statsd):
    telemetry.delivered(2, 600)
    telemetry.flush()
    gauges = [line for line in statsd.lines() if "unaccounted" in line]
    assert gauges == ["shop.events.unaccounted:-2|g", "shop.events.unaccounted:0|g"]  # statsd's way to say -2


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Have Python switch between threads wherever it may."""
    interval_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_seconds)


@pytest.mark.usefixtures("hasty_threads")
def test_a_native_thread_counts_beside_the_others_without_losing_one():
    telemetry = Telemetry()
    receiver = threading.Thread(target=lambda: [telemetry.received(1, 300) for _ in range(50_000)])
    receiver.start()
    for _ in range(50_000):
        telemetry.delivered(1, 300)
    receiver.join(DEADLINE_SECONDS)
    assert telemetry.ledger() == Ledger(50_000, 0, 50_000, 0, 0, 0)


# --- what statsd gets


def count_everything(telemetry: Telemetry) -> None:
    telemetry.received(500, 150_000)
    telemetry.recovered(100)
    telemetry.delivered(300, 90_000)
    telemetry.dead(2, DeadReason.REJECTED)
    telemetry.dropped(1, DropReason.DAMAGED)
    telemetry.post_finished(0.0125)
    note(telemetry, Answer.of(503, {}, b""))
    note(telemetry, Answer.none("timeout", "too slow"))
    telemetry.disk_error(OSError(28, "No space left on device"))
    telemetry.gauge("queue.depth", 7)
    telemetry.gauge("spool.bytes", 60_000)
    telemetry.reported()
    telemetry.copy_missed(Path("000000000001.300.batch"), "no room")
    telemetry.letters_waiting(4)
    telemetry.spooled = 297


def test_a_flush_sends_every_metric_under_its_name(telemetry, statsd):
    count_everything(telemetry)
    telemetry.flush()
    assert statsd.lines() == [
        "shop.events.copies.missed:1|c",
        "shop.events.dead.rejected:2|c",
        "shop.events.dead:2|c",
        "shop.events.dropped.damaged:1|c",
        "shop.events.dropped:1|c",
        "shop.events.error.disk:1|c",
        "shop.events.error.http.503:1|c",
        "shop.events.error.http:1|c",
        "shop.events.error.io.timeout:1|c",
        "shop.events.error.io:1|c",
        "shop.events.letters.waiting:4|c",
        "shop.events.post:12.500000|ms",
        "shop.events.queue.depth:7|g",
        "shop.events.received.bytes:150000|c",
        "shop.events.received:500|c",
        "shop.events.recovered:100|c",
        "shop.events.reported:1|c",
        "shop.events.sent.bytes:90000|c",
        "shop.events.sent:300|c",
        "shop.events.spool.bytes:60000|g",
        "shop.events.spooled:297|g",
        "shop.events.unaccounted:0|g",
    ]


def test_what_is_sent_is_what_is_declared(telemetry, statsd):
    count_everything(telemetry)
    telemetry.flush()
    kinds = {"c": "counter", "g": "gauge", "ms": "timer"}
    sent = {
        (name.removeprefix("shop.events."), kinds[kind])
        for name, _, kind in (re.split("[:|]", line) for line in statsd.lines())
    }
    declared = {(metric.name, metric.kind) for metric in STATSD_METRICS}
    labelled = {metric.name for metric in STATSD_METRICS if metric.labels}
    assert declared <= sent
    assert {name for name, _ in sent - declared} == {
        f"{name}.{label}"
        for name, label in [
            ("error.http", "503"), ("error.io", "timeout"), ("dead", "rejected"), ("dropped", "damaged")
        ]
    }  # fmt: skip
    assert labelled == {"error.http", "error.io", "dead", "dropped"}


def test_a_flush_sends_what_was_counted_since_the_last_one(telemetry, statsd):
    counts = []
    for events in (300, 0, 20):
        if events:
            telemetry.delivered(events, 0)
        telemetry.spooled -= events
        telemetry.flush()
        counts.append([line for line in statsd.lines() if line.startswith("shop.events.sent:")])
    assert counts == [["shop.events.sent:300|c"], [], ["shop.events.sent:20|c"]]


def test_counting_sends_nothing_and_a_flush_packs_small_datagrams(telemetry, statsd):
    for _ in range(200):
        telemetry.received(300, 90_000)
        telemetry.post_finished(0.01)
        telemetry.delivered(300, 90_000)
    assert statsd.datagrams() == []
    telemetry.flush()
    datagrams = statsd.datagrams()
    assert "shop.events.sent:60000|c" in "\n".join(datagrams)
    assert max(map(len, datagrams)) <= 512
    assert len(datagrams) <= 200 * len("shop.events.post:10.000000|ms\n") // 450 + 2


@pytest.mark.parametrize(("namespace", "name"), [("", "spooled"), ("a", "a.spooled"), (".a.b.", "a.b.spooled")])
def test_a_namespace_may_be_empty_or_dotted(statsd, namespace, name):
    telemetry = Telemetry(namespace, statsd.address)
    telemetry.close()
    assert f"{name}:0|g" in statsd.lines()


def test_without_an_endpoint_everything_is_still_counted():
    telemetry = Telemetry()
    telemetry.received(3, 900)
    telemetry.spooled = 3
    telemetry.close()
    assert telemetry.ledger() == Ledger(3, 0, 0, 0, 0, 3)


def test_a_host_with_addresses_of_both_kinds_is_asked_at_its_ipv4_one(statsd):
    """Where localhost is ::1 too, statsd is usually not."""
    telemetry = Telemetry("", ("localhost", statsd.address[1]))
    telemetry.close()
    assert "spooled:0|g" in statsd.lines()


# --- a statsd that is not well


def test_a_dead_statsd_costs_nothing():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        endpoint = gone.getsockname()
    telemetry = Telemetry("", endpoint)
    for _ in range(5):
        telemetry.flush()
    telemetry.close()


def test_a_statsd_that_nobody_knows_is_looked_up_again_now_and_then(caplog):
    clock = Clock()
    telemetry = Telemetry("", (NO_SUCH_HOST, 8125), clock)
    for _ in range(3 * int(LOOKUP_SECONDS)):
        telemetry.flush()
        clock.now += 1
    assert caplog.text.count("statsd could not be looked up") == 3


def test_what_was_counted_before_statsd_was_found_is_not_lost(statsd):
    clock = Clock()
    telemetry = Telemetry("", (NO_SUCH_HOST, 8125), clock)
    telemetry.delivered(300, 0)
    telemetry.flush()
    telemetry._endpoint = statsd.address  # the name server has learnt it
    clock.now += LOOKUP_SECONDS
    telemetry.close()
    assert "sent:300|c" in statsd.lines()


def test_a_unix_socket_may_come_late_go_and_come_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a unix socket must be short
    telemetry = Telemetry("", "./statsd.sock")
    telemetry.flush()
    for number in (1, 2):
        listener = Statsd("./statsd.sock")
        telemetry.delivered(number, 0)
        telemetry.flush()
        assert f"sent:{number}|c" in listener.lines()
        listener.socket.close()
        Path("./statsd.sock").unlink()
        telemetry.flush()
    telemetry.close()


def test_a_unix_statsd_that_hangs_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listener = Statsd("./statsd.sock")
    telemetry = Telemetry("", "./statsd.sock")
    many = 2_000  # times what the socket's buffer holds
    flusher = threading.Thread(target=lambda: [telemetry.flush() for _ in range(many)], daemon=True)
    flusher.start()
    flusher.join(DEADLINE_SECONDS)
    assert not flusher.is_alive()
    telemetry.close()
    assert 0 < len(listener.datagrams()) < many
    listener.socket.close()


# --- what is logged


@pytest.mark.parametrize(
    ("answer", "level", "said"),
    [
        (Answer.of(401, {}, b"unknown key"), "ERROR", "check key.name, key.secret and key.signature"),
        (Answer.of(404, {}, b"nothing here"), "ERROR", "check collector.hostname"),
        (Answer.of(503, {}, b"busy"), "WARNING", "the batch is kept"),
        (Answer.of(422, {}, b"bad"), "WARNING", "split to find the bad events"),
        (Answer.of(413, {}, b"large"), "WARNING", "halved"),
        (Answer.none("refused", "Connection refused"), "WARNING", "kind=refused"),
    ],
)
def test_an_attempt_that_failed_is_logged_with_its_batch_its_outcome_and_what_to_do(
    caplog, answer, level, said
):
    note(Telemetry(), answer)
    (record,) = caplog.records
    assert record.levelname == level
    assert said in record.message
    assert "batch=000000000001.300.batch events=300 attempt=2" in record.message
    assert f"reason={answer.reason}" in record.message.replace("'", "")


def test_an_outage_that_becomes_another_one_is_told_at_once(caplog):
    telemetry = Telemetry(clock=Clock())
    refused, busy = Answer.none("refused", "Connection refused"), Answer.of(503, {}, b"busy")
    for answer in (refused, refused, busy, busy):
        note(telemetry, answer)
    assert [record.message.rpartition(" ")[2] for record in caplog.records] == ["kind=refused", "status=503"]


def test_a_delivered_batch_is_logged_for_debugging_only(caplog):
    answer = Answer.of(200, {}, b"")
    with caplog.at_level(logging.DEBUG):
        note(Telemetry(), answer)
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_the_end_of_an_outage_is_a_line_and_what_follows_is_none(caplog):
    caplog.set_level(logging.INFO)
    telemetry = Telemetry()
    good, bad = Answer.of(200, {}, b""), Answer.of(503, {}, b"")
    for answer in (good, bad, bad, good, good):
        note(telemetry, answer)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert caplog.records[-1].message.startswith("delivery works again batch=000000000001.300.batch")
    assert caplog.records[-1].message.endswith("failed_attempts=2")


@pytest.mark.parametrize("status", [401, 404, 503])
def test_once_delivery_works_again_nothing_says_that_it_does_not(status, caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    telemetry = Telemetry(clock=clock)
    good, bad = Answer.of(200, {}, b""), Answer.of(status, {}, b"")
    for answer in (bad, bad, bad, good):
        note(telemetry, answer)
    first, told, again = caplog.records
    assert first.levelno >= logging.WARNING
    assert told.message.startswith("recovered: batch was not delivered, ")
    assert " suppressed=2 since=" in told.message
    assert (told.levelname, again.levelname) == ("INFO", "INFO")
    clock.now += LOG_SECONDS
    telemetry.flush()
    telemetry.close()
    assert len(caplog.records) == 3


def test_a_key_that_is_refused_may_be_the_clocks_fault(caplog):
    answer = Answer.of(401, {}, b"")
    note(Telemetry(), answer)
    assert "this host's clock" in caplog.records[0].message


def test_a_thousand_dead_letters_are_a_line_for_each_reason_and_one_that_says_how_many_were_left_out(caplog):
    clock = Clock()
    telemetry = Telemetry(clock=clock)
    telemetry.received(2002, 0)
    for _ in range(1000):
        telemetry.dead(2, DeadReason.REJECTED)
    telemetry.dead(1, DeadReason.MALFORMED)
    telemetry.dropped(1, DropReason.DAMAGED)
    said = [
        "events became dead letters events=2 reason=rejected",
        "events became dead letters events=1 reason=malformed",
        "events were dropped events=1 reason=damaged",
    ]
    assert [record.message for record in caplog.records] == said
    telemetry.flush()
    assert len(caplog.records) == 3, "their time is not over"
    clock.now += LOG_SECONDS
    telemetry.flush()
    *before, last = [record.message for record in caplog.records]
    assert before == said
    assert re.fullmatch(
        r"events became dead letters reason=rejected suppressed=999 since=[\d:]{8} events_in_them=1998",
        last,
    )
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_what_was_left_out_of_the_log_is_said_at_the_end(caplog):
    telemetry = Telemetry(clock=Clock())
    telemetry.received(21, 0)
    for _ in range(3):
        telemetry.dropped(7, DropReason.MISSING)
    telemetry.close()
    said = r"events were dropped reason=missing suppressed=2 since=[\d:]{8} events_in_them=14"
    assert re.fullmatch(said, caplog.records[-1].message)
    telemetry.close()
    assert len(caplog.records) == 2
