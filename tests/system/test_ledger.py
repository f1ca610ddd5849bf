"""Every way out of the books, on a real process with a real statsd; and the loss report that tells of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.rigs import Run, put
from support.statsd import Statsd
from support.waiting import wait_until

from eventpub import wire
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.telemetry.reasons import DropReason

EVENT = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'
REJECTED = b'{"1":{"i32":7},"2":{"str":"buy"},"3":{"str":"tea"}}'
PAD = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"%s"}}' % (b"x" * 7900)


@pytest.fixture
def sidecar_keys(statsd: Statsd) -> dict[str, str]:
    return {"metrics_endpoint": statsd.endpoint, "batch_max_size": "128 KiB", "shutdown_timeout": "1 s"}


class Books:
    """One sidecar after the other on a queue; what their ledgers say, and what statsd was told."""

    def __init__(self, run: Run, queue: MessageQueue, statsd: Statsd) -> None:
        self.sidecar = run(metrics_namespace="books", shutdown_timeout="100 ms")
        self.received = 0
        self.ledgers: list[dict[str, int]] = []
        self._queue = queue
        self._statsd = statsd

    def put(self, messages: Iterable[bytes]) -> None:
        self.received += put(self._queue, messages)

    def restart(self, **keys: str) -> None:
        """Stop the sidecar, and start it with these settings besides."""
        self._stop()
        self.sidecar.configure(**keys)
        self.sidecar.start()

    def count(self, name: str) -> int:
        """Return a counter of statsd as it stands."""
        return self._statsd.read()[f"books.{name}"]

    def close(self) -> Counter[str]:
        """Stop the sidecar and check that everything balances; return the sums of all ledgers."""
        self._stop()
        totals = Counter[str]()
        for ledger in self.ledgers:
            assert ledger["unaccounted"] == 0
            totals.update(ledger)
        left = self.ledgers[-1]["spooled"]
        assert totals["received"] == self.received
        assert totals["recovered"] == sum(ledger["spooled"] for ledger in self.ledgers[:-1])
        assert self.received == totals["delivered"] + totals["dead"] + totals["dropped"] + left
        self._check_statsd(totals, left)
        return totals

    def _stop(self) -> None:
        assert self.sidecar.stop() == 0
        self.ledgers.append(self.sidecar.ledger())

    def _check_statsd(self, totals: Counter[str], left: int) -> None:
        """Statsd has the same numbers, and each way out is counted once more by its reason."""
        counted = self._statsd.read()
        for metric, total in {
            "sent": "delivered",
            **{name: name for name in ("received", "recovered", "dead", "dropped")},
        }.items():
            assert counted[f"books.{metric}"] == totals[total]
        for way in ("dead", "dropped"):
            assert sum(counted[name] for name in counted if name.startswith(f"books.{way}.")) == totals[way]
        assert set(self._statsd.gauges["books.unaccounted"]) == {0}
        assert self._statsd.gauges["books.spooled"][-1] == left


@pytest.fixture
def books(run: Run, queue: MessageQueue, statsd: Statsd) -> Books:
    return Books(run, queue, statsd)


def test_books_balance_for_delivered_events_and_dead_ones_of_each_reason(
    books: Books, collector: CollectorProcess
) -> None:
    books.put([EVENT] * 20)
    wait_until(lambda: len(collector.events()) == 20, "the events are stored")
    books.put([b"garbage", REJECTED])
    wait_until(lambda: len(books.sidecar.dead_letters()) == 2, "two are dead letters")
    collector.stop()
    collector.configure(max_compressed_size="2 KiB")
    collector.start()
    books.put([b'{"1":{"str":"%s"}}' % secrets.token_hex(3900).encode()])
    wait_until(lambda: "until other events are accepted" in books.sidecar.log(), "one is too large")
    others = 0

    def is_dead() -> bool:
        nonlocal others
        books.put([EVENT])
        others += 1
        return len(books.sidecar.dead_letters()) == 3

    wait_until(is_dead, "while others are accepted, it becomes a dead letter, too", 60)
    wait_until(lambda: len(collector.events()) == 20 + others, "the others are stored")
    totals = books.close()
    assert (totals["delivered"], totals["dead"], totals["dropped"]) == (20 + others, 3, 0)
    assert [books.count(f"dead.{reason}") for reason in ("malformed", "rejected", "too_large")] == [1, 1, 1]


def test_books_balance_over_processes_that_recover_what_others_spooled(
    books: Books, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    books.put([EVENT] * 5)
    wait_until(books.sidecar.batches, "they wait on disk")
    books.restart()
    collector.set_faults([])
    wait_until(lambda: len(collector.events()) == 5, "the events are stored")
    totals = books.close()
    assert (totals["recovered"], totals["delivered"], totals["dropped"]) == (5, 5, 0)


@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_books_balance_for_events_that_a_full_spool_drops(
    end: str, books: Books, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    books.restart(spool_max_size="4 MiB", spool_when_full=f"drop_{end}")
    books.put([PAD] * 700)
    wait_until(lambda: books.count(f"dropped.spool_full_{end}"), f"the {end} are dropped")
    collector.set_faults([])
    wait_until(lambda: not books.sidecar.batches(), "the rest is delivered")
    totals = books.close()
    assert totals["dropped"] == books.count(f"dropped.spool_full_{end}") > 0
    assert totals["delivered"] == len(collector.events())


def test_books_balance_for_files_that_are_removed_and_damaged(
    books: Books, collector: CollectorProcess
) -> None:
    collector.set_faults([{"status": 503, "times": "forever"}])
    books.put([PAD] * 80)
    wait_until(lambda: len(books.sidecar.batches()) > 4, "they wait on disk")
    missing, damaged = books.sidecar.batches()[2:4]
    missing.unlink()
    with damaged.open("r+b", buffering=0) as file:  # one byte, in its place: it may be read meanwhile
        os.pwrite(file.fileno(), bytes([os.pread(file.fileno(), 1, 200)[0] ^ 0xFF]), 200)
    collector.set_faults([])
    wait_until(lambda: not books.sidecar.batches(), "the rest is delivered")
    totals = books.close()
    assert totals["dropped"] == books.count("dropped.missing") + books.count("dropped.damaged")
    assert books.count("dropped.missing") >= 1
    assert books.count("dropped.damaged") == 1


def test_books_balance_for_dead_letters_beyond_their_bound(books: Books, collector: CollectorProcess) -> None:
    books.restart(**{"dead_letters.max_size": "1 MiB", "dead_letters.when_full": "drop"})
    books.put([REJECTED[:-2] + b',"x":"%s"}}' % (b"y" * 7900)] * 200)
    wait_until(lambda: books.count("dropped.dead_letters_full"), "dead letters are at their bound")
    wait_until(lambda: not books.sidecar.batches(), "the rest is settled")
    totals = books.close()
    assert totals["dropped"] == books.count("dropped.dead_letters_full")
    assert (totals["delivered"], collector.events()) == (0, [])


def test_dead_letters_at_their_bound_reach_put_by_way_of_the_spool_and_lose_nothing(
    books: Books, collector: CollectorProcess, queue: MessageQueue
) -> None:
    """`dead_letters.when_full = block`, the default: good events go on, bad ones wait, then the queue fills."""
    books.restart(**{"dead_letters.max_size": "1 MiB", "spool.max_size": "4 MiB", "spool.fsync": "never"})
    bad = REJECTED[:-2] + b',"x":"%s"}}' % (b"y" * 7900)
    good = 0
    full_since = None
    while full_since is None or time.monotonic() < full_since + 1.5:
        if queue.send(bad):
            books.received += 1
            full_since = None
            if books.received % 10 == 0 and queue.send(EVENT):
                books.received += 1
                good += 1
        else:
            full_since = full_since or time.monotonic()
    assert "no room for their dead letters" in books.sidecar.log()
    assert "the spool is full" in books.sidecar.log()
    seen: set[Path] = set()

    def make_room() -> bool:
        for path in books.sidecar.dead_letters():
            seen.add(path)
            path.unlink()
        return len(seen) == books.received - good

    wait_until(make_room, "all bad ones have become dead letters")
    wait_until(lambda: len(collector.events()) == good, "what is good is stored")
    totals = books.close()
    assert (totals["delivered"], totals["dead"], totals["dropped"]) == (good, books.received - good, 0)


def test_every_reason_to_drop_an_event_is_driven_above() -> None:
    driven = {"spool_full_oldest", "spool_full_newest", "missing", "damaged", "dead_letters_full"}
    assert driven == {reason.value for reason in DropReason} - {"report"}


# --- the loss report


def reports(collector: CollectorProcess) -> list[dict[str, Any]]:
    events = (row["event"] for row in collector.events())
    return [event for event in events if event.get("source") == "eventpub"]


def test_a_report_comes_as_soon_as_a_reload_asks_for_it(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run(collector_version="2j", **{"loss_report.interval": "1 h"})
    put(queue, [b"garbage"])
    wait_until(sidecar.dead_letters, "it is a dead letter")
    sidecar.configure(**{"loss_report.interval": "1 s"})
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: reports(collector), "the report is stored")


@pytest.mark.parametrize("version", wire.VERSIONS)
def test_losses_are_reported_to_those_downstream_even_after_an_outage(
    version: str, run: Run, queue: MessageQueue, collector: CollectorProcess, statsd: Statsd
) -> None:
    sidecar = run(collector_version=version, **{"loss_report.interval": "1 s", "shutdown.timeout": "100 ms"})
    put(queue, [b"garbage", b"rubbish"])
    wait_until(lambda: len(sidecar.dead_letters()) == 2, "they are dead letters")
    collector.set_faults([{"status": 503, "times": "forever"}])
    wait_until(lambda: statsd.read()["reported"], "a report is written")
    assert sidecar.stop() == 0
    assert sidecar.ledger()["spooled"] == 1
    collector.set_faults([])
    sidecar.start()
    (report,) = wait_until(lambda: reports(collector), "the report is stored")
    assert [report[field] for field in ("source", "action", "noun")] == ["eventpub", "report", "loss"]
    properties, measurements = report["properties"], report["measurements"]
    assert (properties["queue"], properties["host"]) == (queue.name, socket.gethostname())
    assert int(properties["pid"]) > 0
    first, last = measurements.pop("first_loss_timestamp"), measurements.pop("last_loss_timestamp")
    assert 1_700_000_000_000 < first <= last
    assert measurements == {"dead.malformed": 2}
    assert sidecar.stop() == 0
    assert sidecar.ledger()["unaccounted"] == 0
    assert len(reports(collector)) == 1


def test_last_losses_are_reported_at_the_end(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run(collector_version="2j", **{"loss_report.interval": "1 h"})
    put(queue, [b"garbage"])
    wait_until(sidecar.dead_letters, "it is a dead letter")
    assert sidecar.stop() == 0
    (report,) = reports(collector)
    assert report["measurements"]["dead.malformed"] == 1
    ledger = sidecar.ledger()
    assert (ledger["received"], ledger["delivered"], ledger["dead"], ledger["unaccounted"]) == (2, 1, 1, 0)


def test_report_that_the_collector_rejects_is_no_cause_of_another(
    run: Run, queue: MessageQueue, collector: CollectorProcess, statsd: Statsd
) -> None:
    sidecar = run(collector_version="2j", **{"loss_report.interval": "1 s"})
    body = json.dumps({"error": "invalid_events", "rejected": [{"index": 0, "reason": "no"}]})
    collector.set_faults([{"status": 422, "body": body, "times": "forever"}])
    put(queue, [b"garbage"])
    wait_until(lambda: len(sidecar.dead_letters()) == 2, "both are dead letters")
    flushes = len(statsd.gauges.get("spooled", []))
    wait_until(lambda: statsd.read() and len(statsd.gauges["spooled"]) > flushes + 2, "two ticks pass")
    assert statsd.counters["reported"] == 1
    reasons = sorted(json.loads(letter.read_text())["reason"] for letter in sidecar.dead_letters())
    assert reasons == ["malformed", "report"]


@pytest.mark.parametrize("end", ["newest", "oldest"])
def test_what_a_dropped_report_told_is_told_by_the_next(
    end: str, run: Run, queue: MessageQueue, collector: CollectorProcess, statsd: Statsd
) -> None:
    """The spool is full; the last report waits for the next start."""
    collector.set_faults([{"status": 503, "times": "forever"}])
    keys = {"loss_report.interval": "1 s", "spool.when_full": f"drop_{end}", "spool.max_size": "4 MiB"}
    sidecar = run(collector_version="2j", **keys)
    event = b'{"source":"shop","action":"buy","noun":"%s"}' % (b"x" * 7900)
    count = 0

    def more() -> int:
        nonlocal count
        count += put(queue, [event] * 10)
        return statsd.read()["dropped.report" if end == "oldest" else "reported"]

    wait_until(more, "a report is dropped, or kept beyond the limit where only what is received is dropped")
    assert sidecar.stop() == 0
    ledgers = [sidecar.ledger()]
    collector.set_faults([])
    sidecar.start()
    wait_until(lambda: not sidecar.batches(), "all is delivered")
    assert sidecar.stop() == 0
    ledgers.append(sidecar.ledger())
    assert [ledger["unaccounted"] for ledger in ledgers] == [0, 0]
    told = Counter[str]()
    for report in reports(collector):
        told.update({name: n for name, n in report["measurements"].items() if "timestamp" not in name})
    counted = statsd.read()
    assert set(told) == {f"dropped.spool_full_{end}"}
    assert told[f"dropped.spool_full_{end}"] == counted[f"dropped.spool_full_{end}"] > 0
    assert len(reports(collector)) == counted["reported"] - counted["dropped.report"]
    stored = len(collector.events()) - len(reports(collector))
    assert count == stored + counted[f"dropped.spool_full_{end}"]


FORGED = [
    b'{"source":"eventpub","action":"report","noun":"loss","measurements":{"dead.rejected":1e400}}',
    b'{"source":"eventpub","action":"report","noun":"loss","measurements":{"dead.rejected":-1e999,"a":"b"}}',
    b'{"source":"eventpub","action":"report","noun":"loss","measurements":{%s}}'
    % b",".join(b'"%d":1' % n for n in range(700)),
    b'{"source":"eventpub","action":"report","noun":"loss","51":{"map":[]}}',
    b'{"source":"eventpub","action":"report","noun":"loss"' + b"[" * 900,
]


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
def test_event_that_looks_like_a_report_is_an_event_like_any_other(
    when_full: str, run: Run, queue: MessageQueue, collector: CollectorProcess, statsd: Statsd
) -> None:
    """Otherwise any application could hide real losses, invent some, or end the sidecar."""
    collector.set_faults([{"status": 503, "times": "forever"}])
    keys = {"loss_report.interval": "1 s", "spool.when_full": when_full, "spool.max_size": "4 MiB"}
    sidecar = run(collector_version="2j", **keys)
    count = put(queue, FORGED)

    def more() -> int:
        nonlocal count
        count += put(queue, [PAD] * 20 + FORGED[:3])
        return statsd.read()[f"dropped.spool_full_{when_full[5:]}"]

    wait_until(more, "some are dropped")
    collector.set_faults([])
    wait_until(lambda: not sidecar.batches(), "the rest is delivered")
    assert sidecar.stop() == 0
    assert sidecar.ledger()["unaccounted"] == 0
    ours = [report for report in reports(collector) if "queue" in report.get("properties", {})]
    names = {name for report in ours for name in report["measurements"]}
    assert names <= {
        f"dropped.spool_full_{when_full[5:]}", "dead.malformed", "dead.rejected",
        "first_loss_timestamp", "last_loss_timestamp",
    }  # fmt: skip


def test_nothing_is_reported_unless_it_is_asked_for(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    sidecar = run(collector_version="2j")
    put(queue, [b"garbage"])
    wait_until(sidecar.dead_letters, "it is a dead letter")
    assert sidecar.stop() == 0
    assert collector.events() == []
    assert sidecar.ledger()["received"] == 1
