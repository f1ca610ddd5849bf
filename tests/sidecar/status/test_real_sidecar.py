"""What a real sidecar tells on the socket beside its slot, in the states that matter, and at status.listen."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import stat
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.rigs import Run
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

import eventpub
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.native import describe_loops
from eventpub.sidecar.spool.slot import take_slot
from eventpub.sidecar.status.answering import socket_path
from eventpub.sidecar.status.ask import Asked, Condition, ask_slot, connect_slot, find_slots, find_spools
from eventpub.sidecar.status.record import StatusRecord

PATIENT_SECONDS = 20.0


@pytest.fixture
def collector(fresh_collector: CollectorProcess) -> CollectorProcess:
    return fresh_collector


@pytest.fixture
def sidecar_keys() -> Mapping[str, str]:
    return {"collector_version": "2j", "status_overdue": "1 s"}


def slot_of(sidecar: SidecarProcess) -> Path:
    return sidecar.spool / sidecar.queue_name / "0"


def ask(sidecar: SidecarProcess) -> StatusRecord:
    asked = ask_slot(slot_of(sidecar), seconds=PATIENT_SECONDS)
    assert asked.record is not None, asked
    assert asked.pid == sidecar.process.pid
    return asked.record


def get(sidecar: SidecarProcess, path: str, method: str = "GET") -> tuple[int, str]:
    with contextlib.closing(connect_slot(slot_of(sidecar), PATIENT_SECONDS)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def has_trouble(sidecar: SidecarProcess, code: str) -> str:
    return next((trouble.words for trouble in ask(sidecar).troubles if trouble.code == code), "")


def test_a_sidecar_that_is_well_tells_everything_on_a_private_socket(
    sidecar: SidecarProcess, collector: CollectorProcess
) -> None:
    path = socket_path(slot_of(sidecar))
    wait_until(path.exists, "it answers")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert get(sidecar, "/livez") == get(sidecar, "/readyz") == (200, "ok\n")
    with MessageQueue.open(sidecar.queue_name):  # held by this process, so the sidecar sees it
        sidecar.put(b'{"n":1,"client_timestamp":1700000000000}', b'{"n":2}')
        wait_until(lambda: ask(sidecar).ledger.delivered == 2, "they are delivered")
        record = wait_until(lambda: (r := ask(sidecar)).queue.open_in and r, "the look into /proc is done")
    assert (record.version, record.state, record.why, record.troubles) == (1, "running", "", ())
    assert record.is_ready
    assert record.is_alive
    assert (record.process.pid, record.process.slot) == (sidecar.process.pid, 0)
    assert record.process.eventpub == eventpub.__version__
    assert record.process.directory == str(slot_of(sidecar))
    assert record.process.config_path == str(sidecar.config)
    assert (record.queue.name, record.queue.depth_messages) == (sidecar.queue_name, 0)
    assert (record.queue.capacity_messages, record.queue.message_size_bytes) == (10, 8192)
    assert os.getpid() in [holder.pid for holder in record.queue.open_in]
    ledger = record.ledger
    assert (ledger.received, ledger.delivered, ledger.spooled, ledger.unaccounted) == (2, 2, 0, 0)
    assert record.spool.oldest_at is None
    assert record.delivery.last_success_at is not None
    assert record.delivery.last_success_at <= record.taken_at
    assert record.delivery.failing_since is None
    assert record.delivery.url == f"http://127.0.0.1:{collector.port}/v2j"
    assert set(record.delivery.attempts) == {"accepted 200"}
    assert record.delivery.clock_offset_seconds is not None
    assert abs(record.delivery.clock_offset_seconds) < 30
    stages = {stage.name: stage for stage in record.stages}
    assert list(stages) == ["receive", "seal", "deliver", "store", "loop"]
    assert all(stage.count for name, stage in stages.items() if name != "loop")  # it turns once a second
    assert stages["deliver"].last == "sending a batch"


def test_a_clock_that_is_off_is_found_by_the_date_of_an_answer(
    sidecar: SidecarProcess, collector: CollectorProcess
) -> None:
    an_hour_ahead = formatdate(time.time() + 3600, usegmt=True)
    collector.set_faults([{"status": 503, "headers": {"Date": an_hour_ahead, "Retry-After": "3600"}}])
    sidecar.put(b'{"n":1}')
    words = wait_until(lambda: has_trouble(sidecar, "clock"), "the clocks are compared")
    assert re.fullmatch(r"this host's clock is 3,[56]\d\d s behind the collector's: see chrony or ntp", words)
    status, text = get(sidecar, "/readyz")
    assert (status, f"clock: {words}"[:20] in text) == (503, True)
    sidecar.signal(signal.SIGHUP)  # whoever has mended it need not wait for the next attempt
    wait_until(lambda: not has_trouble(sidecar, "clock"), "the next answer has the right time")


def test_heads_are_answered_and_nothing_of_it_is_in_the_log(sidecar: SidecarProcess) -> None:
    before = sidecar.log()
    assert get(sidecar, "/readyz", "HEAD") == get(sidecar, "/status", "HEAD") == (200, "")
    assert get(sidecar, "/elsewhere")[0] == 404
    assert get(sidecar, "/status", "POST")[0] == 405
    assert sidecar.log() == before


def test_a_refused_key_is_told_with_the_collectors_words(sidecar: SidecarProcess) -> None:
    sidecar.configure(key_secret="d3Jvbmc=")
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in sidecar.log(), "the key is wrong")
    sidecar.put(b'{"n":1}')
    words = wait_until(lambda: has_trouble(sidecar, "refused"), "the key is refused")
    assert "rejects this key" in words
    assert "401" in words
    record = ask(sidecar)
    assert (record.state, record.is_ready, record.is_alive) == ("refused", False, True)
    assert record.delivery.last_refusal is not None
    assert (record.delivery.last_refusal.verdict, record.delivery.last_refusal.status) == ("hold", 401)
    assert record.delivery.last_refusal.remedy
    assert record.spool.events == 1
    assert record.spool.oldest_at is not None
    status, text = get(sidecar, "/readyz")
    assert (status, text.splitlines()[0]) == (503, f"refused: {has_trouble(sidecar, 'refused')}")
    assert get(sidecar, "/livez") == (200, "ok\n")  # to start it again would not help


def test_a_collector_that_is_down_is_told_once_events_have_waited(
    sidecar: SidecarProcess, collector: CollectorProcess
) -> None:
    collector.stop()
    sidecar.put(b'{"n":1}')
    words = wait_until(lambda: has_trouble(sidecar, "overdue"), "they have waited for status.overdue")
    assert re.match(r"1 events? waits?, and none was accepted for \d+ s: .*refused", words)
    assert get(sidecar, "/readyz")[0] == 503
    record = ask(sidecar)
    assert record.state == "running"
    assert record.delivery.failing_since is not None
    assert record.delivery.next_attempt_at is not None or record.delivery.in_flight
    collector.start()
    wait_until(lambda: get(sidecar, "/readyz") == (200, "ok\n"), "they are delivered")
    assert ask(sidecar).delivery.failing_since is None


def test_a_stopped_process_is_hung_and_a_killed_one_dead(sidecar: SidecarProcess) -> None:
    sidecar.pause()
    begun = time.monotonic()
    asked = ask_slot(slot_of(sidecar), seconds=300)
    assert time.monotonic() - begun < 100, "what cannot answer is not waited for"
    assert (asked.condition, asked.pid) == (Condition.HUNG, sidecar.process.pid)
    assert "SIGSTOP" in asked.words
    sidecar.signal(signal.SIGCONT)
    assert ask(sidecar).state == "running"
    sidecar.kill()
    assert ask_slot(slot_of(sidecar)) == Asked(
        slot_of(sidecar), Condition.DEAD, words="no sidecar holds this slot"
    )


def test_the_socket_of_a_killed_sidecar_is_replaced_and_that_of_a_live_one_is_not(
    sidecar: SidecarProcess, run: Run
) -> None:
    sidecar.kill()
    assert socket_path(slot_of(sidecar)).exists()
    sidecar.start()
    assert ask(sidecar).process.slot == 0
    second = run()
    slots = find_slots(sidecar.spool)
    assert [slot.name for slot in slots] == ["0", "1"]
    records = [ask_slot(slot, seconds=PATIENT_SECONDS).record for slot in slots]
    pids = [record.process.pid for record in records if record]
    assert pids == [sidecar.process.pid, second.process.pid]
    assert sidecar.spool in find_spools()


def test_a_stopped_sidecar_leaves_no_socket_and_one_that_somebody_removed_comes_back(
    sidecar: SidecarProcess,
) -> None:
    path = socket_path(slot_of(sidecar))
    path.unlink()
    wait_until(path.exists, "it is made again")
    assert ask(sidecar).state == "running"
    assert sidecar.stop() == 0
    assert not path.exists()
    assert ask_slot(slot_of(sidecar)).condition is Condition.DEAD


def test_a_spool_with_a_long_path_has_a_socket_too(
    nursery: Nursery, tmp_path: Path, queue_name: str, collector: CollectorProcess
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    running = NurserySidecar(nursery, folder, queue_name, collector.port)
    try:
        assert ask(running).process.directory == str(slot_of(running))
    finally:
        running.kill()


@pytest.mark.parametrize("is_path", [True, False])
def test_status_listen_answers_what_anybody_may_ask(run: Run, tmp_path: Path, *, is_path: bool) -> None:
    path = tmp_path / "looking.sock"
    running = run(status_listen=str(path) if is_path else "127.0.0.1:0")
    url = wait_until(lambda: ask(running).process.listens, "it listens")
    if is_path:
        assert url == f"unix:{path}"
        connection = connect_slot(path.with_suffix(""), PATIENT_SECONDS)
    else:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/status")
        document = json.load(connection.getresponse())
    assert document["process"]["pid"] == running.process.pid
    assert running.stop() == 0
    assert not path.exists()


def test_of_sidecars_with_one_status_listen_the_first_has_it_and_another_takes_it_over(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "status.sock"

    def is_answered_by(sidecar: SidecarProcess) -> bool:
        with (
            contextlib.suppress(OSError),  # nobody listens at the moment
            contextlib.closing(connect_slot(path.with_suffix(""), PATIENT_SECONDS)) as connection,
        ):
            connection.request("GET", "/status")
            return bool(json.load(connection.getresponse())["process"]["pid"] == sidecar.process.pid)
        return False

    first = run(status_listen=str(path))
    wait_until(lambda: is_answered_by(first), "the first listens")
    second = run(status_listen=str(path))
    said = f"status.listen: cannot listen on {path}: another process listens there"
    wait_until(lambda: said in first.log(), "the other says so in the log of both")
    assert is_answered_by(first)
    first.stop()
    wait_until(lambda: is_answered_by(second), "it is taken over")


METRICS = {
    *(f"eventpub_events_{what}_total" for what in ("received", "recovered", "delivered", "dead", "dropped")),
    *("eventpub_events_spooled", "eventpub_events_unaccounted", "eventpub_queue_messages"),
    *("eventpub_queue_capacity_messages", "eventpub_spool_bytes", "eventpub_spool_limit_bytes"),
    *("eventpub_last_delivery_timestamp_seconds", "eventpub_attempts_total", "eventpub_disk_errors_total"),
    "eventpub_build_info",
    *(
        f"eventpub_{name}_seconds_{part}"
        for name in ("attempt_duration", "delivery_lag", "put_to_store")
        for part in ("bucket", "count", "sum")
    ),
}


def test_prometheus_reads_what_the_record_says(sidecar: SidecarProcess) -> None:
    happened_ms = int(time.time() * 1000) - 3000
    sidecar.put(b'{"n":1,"client_timestamp":%d}' % happened_ms)
    wait_until(lambda: ask(sidecar).ledger.delivered == 1, "it is delivered")
    status, text = get(sidecar, "/metrics")
    assert status == 200
    samples = {
        (
            sample.name,
            *(f"{key}={sample.labels[key]}" for key in sorted({*sample.labels} - {"queue", "slot"})),
        ): (sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels["queue"] == sidecar.queue_name and sample.labels["slot"] == "0"
    }
    assert {name for name, *_ in samples} == METRICS
    assert samples["eventpub_events_delivered_total",] == 1
    assert samples["eventpub_events_dead_total", "reason=rejected"] == 0
    assert samples["eventpub_events_dropped_total", "reason=damaged"] == 0
    assert samples["eventpub_attempts_total", "code=200", "outcome=accepted"] == 1
    assert samples["eventpub_queue_capacity_messages",] == 10
    assert samples["eventpub_delivery_lag_seconds_count",] == 1
    assert samples["eventpub_delivery_lag_seconds_sum",] >= 3
    assert samples["eventpub_put_to_store_seconds_count",] == 1
    assert samples["eventpub_attempt_duration_seconds_bucket", "le=+Inf"] == 1
    assert samples["eventpub_build_info", "loops=compiled", f"version={eventpub.__version__}"] == 1
    assert get(sidecar, "/metrics", "HEAD") == (200, "")


def test_a_full_spool_is_told_as_a_pause_with_what_to_do(
    run: Run, queue_name: str, collector: CollectorProcess
) -> None:
    collector.stop()
    running = run(spool_max_size="4 MiB", batch_max_age="10 ms", status_overdue="")
    event = b'{"filler":"%s"}' % (b"x" * 8000)
    with MessageQueue.open(queue_name) as queue:
        while not has_trouble(running, "paused"):
            while queue.send(event):
                pass
    wait_until(lambda: ask(running).spool.size_bytes > 2 * 1024 * 1024, "what was received is sealed")
    record = ask(running)
    assert (record.state, record.why) == ("paused", has_trouble(running, "paused"))
    assert record.why.startswith("the spool is full, so no messages are taken; raise spool.max_size")
    assert record.spool.limit_bytes == 4 * 1024 * 1024
    assert record.spool.batches > 1
    assert get(running, "/readyz")[0] == 503


def test_a_process_that_holds_a_slot_and_has_no_socket_is_silent(sidecar: SidecarProcess) -> None:
    sidecar.pause()  # or it would make it again
    socket_path(slot_of(sidecar)).unlink()
    assert ask_slot(slot_of(sidecar)).condition is Condition.HUNG
    sidecar.signal(signal.SIGCONT)
    wait_until(lambda: ask_slot(slot_of(sidecar)).condition is Condition.RUNNING, "it makes another")
    slot = sidecar.spool / sidecar.queue_name / "7"
    taken = take_slot(slot)
    assert taken is not None
    asked = ask_slot(slot)
    taken.release()
    assert (asked.condition, asked.pid) == (Condition.SILENT, os.getpid())


def test_facts_of_its_json_log_are_json_values(
    sidecar: SidecarProcess, collector: CollectorProcess, queue_name: str
) -> None:
    sidecar.stop()
    collector.stop()
    sidecar.configure(log_format="json", shutdown_timeout="0.1 s")
    sidecar.launch()
    wait_until(lambda: '"started"' in sidecar.log(), "it starts")
    sidecar.put(b'{"n":1}')
    wait_until(lambda: '"level": "warning"' in sidecar.log(), "it meets the collector")
    sidecar.stop()
    lines = [json.loads(line) for line in sidecar.log().splitlines()]
    (started,) = [line["fields"] for line in lines if line["message"] == "started"]
    assert started == {
        "queue": queue_name,
        "slot": "0",
        "waiting": 0,
        "max_messages": 10,
        "max_message_bytes": 8192,
        "spool": str(slot_of(sidecar)),
        "spooled": 0,
        "spooled_bytes": 0,
        "loops": describe_loops(),
    }
    for line in lines:
        for value in line["fields"].values():
            assert not (isinstance(value, str) and value.startswith("<")), line
