"""Every way out of the books, on a real process with a real statsd; and the loss report that tells of it."""

from __future__ import annotations

import json
import signal
import socket
from collections import Counter
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.rigs import Run, put
from support.sidecar_process import SidecarProcess
from support.statsd import Statsd
from support.waiting import wait_until

from eventpub import wire
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.telemetry.losses import Losses, is_report
from eventpub.sidecar.telemetry.reasons import DropReason

EVENT = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'
REJECTED = b'{"1":{"i32":7},"2":{"str":"buy"},"3":{"str":"tea"}}'
PAD = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"%s"}}' % (b"x" * 7900)


@pytest.fixture
def sidecar_keys(statsd: Statsd) -> dict[str, str]:
    return {"metrics_endpoint": statsd.endpoint, "batch_max_size": "128 KiB", "shutdown_timeout": "1 s"}


def configure_and_restart(sidecar: SidecarProcess, **keys: str) -> dict[str, int]:
    """Stop it, and return its books once it runs again."""
    assert sidecar.stop() == 0
    ledger = sidecar.ledger()
    sidecar.configure(**keys)
    sidecar.start()
    return ledger


def test_books_balance_on_every_way_that_an_event_can_take(  # noqa: PLR0915, a long way
    run: Run, queue: MessageQueue, collector: CollectorProcess, statsd: Statsd
) -> None:
    sidecar = run(metrics_namespace="books", shutdown_timeout="100 ms")
    ledgers = []
    received = 0

    # delivered, and dead for each of the three reasons
    received += put(queue, [EVENT] * 20)
    wait_until(lambda: len(collector.events()) == 20, "the events are stored")
    received += put(queue, [b"garbage", REJECTED])
    wait_until(lambda: len(sidecar.dead_letters()) == 2, "two are dead letters")
    collector.set_faults([{"status": 413}])
    received += put(queue, [EVENT])
    wait_until(lambda: len(sidecar.dead_letters()) == 3, "one more is")

    # spooled, and recovered by the next process
    collector.set_faults([{"status": 503, "times": "forever"}])
    received += put(queue, [EVENT] * 5)
    wait_until(sidecar.batches, "they wait on disk")
    ledgers.append(configure_and_restart(sidecar, spool_max_size="4 MiB", spool_when_full="drop_oldest"))

    # dropped: the oldest, then the newest
    received += put(queue, [PAD] * 700)
    wait_until(lambda: statsd.read()["books.dropped.spool_full_oldest"], "the oldest are dropped")
    ledgers.append(configure_and_restart(sidecar, spool_when_full="drop_newest"))
    received += put(queue, [PAD] * 100)
    wait_until(lambda: statsd.read()["books.dropped.spool_full_newest"], "the newest are dropped")

    # dropped: a file that somebody removed, and one that was damaged
    missing, damaged = sidecar.batches()[2:4]
    missing.unlink()
    image = bytearray(damaged.read_bytes())
    image[200] ^= 0xFF
    damaged.write_bytes(image)
    collector.set_faults([])
    wait_until(lambda: not sidecar.batches(), "the rest is delivered")

    # dropped: a dead letter beyond the bound
    ledgers.append(configure_and_restart(sidecar, **{"dead_letters.max_size": "1 MiB"}))
    received += put(queue, [REJECTED[:-2] + b',"x":"%s"}}' % (b"y" * 7900)] * 200)
    wait_until(lambda: statsd.read()["books.dropped.dead_letters_full"], "dead letters are at their bound")
    wait_until(lambda: not sidecar.batches(), "the rest is settled")
    assert sidecar.stop() == 0
    ledgers.append(sidecar.ledger())

    counted = statsd.read()
    totals = Counter[str]()
    for ledger in ledgers:
        totals.update(ledger)
    assert [ledger["unaccounted"] for ledger in ledgers] == [0, 0, 0, 0]
    assert set(statsd.gauges["books.unaccounted"]) == {0}
    assert totals["received"] == received
    assert totals["recovered"] == sum(ledger["spooled"] for ledger in ledgers[:-1]) > 0
    assert received == totals["delivered"] + totals["dead"] + totals["dropped"]
    assert ledgers[-1]["spooled"] == statsd.gauges["books.spooled"][-1] == 0

    # statsd has the same, by the same names
    for name, total in (
        ("received", received),
        ("recovered", totals["recovered"]),
        ("sent", totals["delivered"]),
    ):
        assert counted[f"books.{name}"] == total
    dead = {name for name in counted if name.startswith("books.dead.")}
    dropped = {name for name in counted if name.startswith("books.dropped.")}
    assert dead == {"books.dead.malformed", "books.dead.rejected", "books.dead.too_large"}
    reasons = set(DropReason) - {DropReason.REPORT}
    assert dropped == {f"books.dropped.{reason.value}" for reason in reasons}
    assert sum(counted[name] for name in dead) == counted["books.dead"] == totals["dead"]
    assert sum(counted[name] for name in dropped) == counted["books.dropped"] == totals["dropped"]
    assert counted["books.dropped.missing"] >= 1
    assert counted["books.dropped.damaged"] == 1


# --- the loss report


def reports(collector: CollectorProcess) -> list[dict[str, Any]]:
    events = (row["event"] for row in collector.events())
    return [event for event in events if event["source"] == "eventpub"]


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
    collector.set_faults([{"status": 400, "times": "forever"}])
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
    """The spool is full, so reports go the way of what they tell of; the last one waits for the next start."""
    collector.set_faults([{"status": 503, "times": "forever"}])
    keys = {"loss_report.interval": "1 s", "spool.when_full": f"drop_{end}", "spool.max_size": "4 MiB"}
    sidecar = run(collector_version="2j", **keys)
    event = b'{"source":"shop","action":"buy","noun":"%s"}' % (b"x" * 7900)
    count = 0

    def more() -> int:
        nonlocal count
        count += put(queue, [event] * 10)
        return statsd.read()["dropped.report"]

    wait_until(more, "a report is dropped")
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


def test_what_looks_like_a_report_and_is_none_disturbs_nobody() -> None:
    losses = Losses()
    beginning = b'{"source":"eventpub","action":"report","noun":"loss"'
    for end in (
        b"",
        b"}",
        b',"measurements":7}',
        b',"measurements":{"a":"b"}}',
        b',"51":{"map":[]}}',
        b"[" * 9000,
    ):
        losses.put_back(beginning + end)
    assert not losses


@pytest.mark.parametrize("version", wire.VERSIONS)
def test_counts_that_are_put_back_add_to_those_that_came_meanwhile(version: str) -> None:
    now = [1_700_000_000.0]
    losses = Losses(lambda: now[-1])
    losses.add("dead.rejected", 2)
    report = losses.event(version, "main")
    losses.clear()
    now.append(now[-1] + 9)
    losses.add("dead.rejected", 3)
    losses.put_back(report)
    assert json.loads(losses.event("2j", "main"))["measurements"] == {
        "dead.rejected": 5,
        "first_loss_timestamp": 1_700_000_000_000, "last_loss_timestamp": 1_700_000_009_000,
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


def test_losses_are_counted_by_name_until_they_are_reported() -> None:
    now = [1_700_000_000.0]
    losses = Losses(lambda: now[-1])
    assert not losses
    for name, events in (("dead.rejected", 2), ("dropped.damaged", 3), ("dead.rejected", 1)):
        losses.add(name, events)
        now.append(now[-1] + 1)
    assert len(losses) == 6
    measurements = json.loads(losses.event("2j", "main"))["measurements"]
    assert measurements == {
        "dead.rejected": 3, "dropped.damaged": 3,
        "first_loss_timestamp": 1_700_000_000_000, "last_loss_timestamp": 1_700_000_002_000,
    }  # fmt: skip
    losses.clear()
    assert not losses


@pytest.mark.parametrize("version", wire.VERSIONS)
def test_report_is_told_from_other_events(version: str) -> None:
    losses = Losses()
    losses.add("dead.rejected", 1)
    assert is_report(losses.event(version, "main"))
    assert not is_report(EVENT)
    assert not is_report(b'{"source":"eventpub","action":"report","noun":"gain"}')
