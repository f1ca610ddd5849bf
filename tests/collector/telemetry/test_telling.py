"""What a real collector tells at status.listen; tests/watched has Prometheus itself look at it."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support.collector_process import CollectorProcess
from support.ports import free_port
from support.waiting import wait_until

from eventpub import wire
from eventpub.collector.telemetry.counts import _MAX_CODES, Counts, Snapshot, add_snapshots

EVENTS = b'[{"a":1},{"a":2}]'


def read_samples(url: str) -> dict[tuple[str, ...], float]:
    text = requests.get(f"{url}/metrics", timeout=10).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


WANTED = {
    ("eventpub_collector_requests_total", "401"): 7,
    ("eventpub_collector_events_stored_total", "test"): 2,
    ("eventpub_collector_events_duplicate_total", "test"): 2,
    ("eventpub_collector_events_refused_total", "unauthorized"): 8,
    ("eventpub_collector_events_refused_total", "invalid_events"): 0,
    ("eventpub_collector_store_ready",): 1,
    ("eventpub_collector_store_duration_seconds_count",): 2,
}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_came_is_told_by_key_code_and_reason(tmp_path, nursery, workers):
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {"status.listen": f"127.0.0.1:{port}"}
    arguments = ["--workers", "2"] if workers == 2 else []
    with CollectorProcess(
        tmp_path, settings=settings, faults=None, arguments=arguments, nursery=nursery
    ) as collector:
        assert collector.post(EVENTS, {"Idempotency-Key": "a"}, version="2j").status_code == 200
        assert collector.post(EVENTS, {"Idempotency-Key": "a"}, version="2j").status_code == 200
        for number in range(5):
            forged = {"X-Signature": f"key=made-up-{number}, mac={'0' * 64}"}
            assert collector.post(EVENTS, forged, version="2j").status_code == 401
        signed = {"Signature-Input": 'eventpub=();keyid="made-up"', "Signature": "eventpub=:AA==:"}
        for headers in ({}, {**signed, wire.COUNT_HEADER: "2"}):  # the first counts as one event
            assert requests.post(f"{collector.url}/v2j", EVENTS, headers=headers, timeout=10).status_code == 401
        wait_until(lambda: WANTED.items() <= read_samples(url).items(), "all is counted")
        wait_until(lambda: requests.get(f"{url}/readyz", timeout=10).text == "ok\n", "it is ready")
        samples = read_samples(url)
        assert samples[("eventpub_collector_workers",)] == workers
        assert not any("made-up" in " ".join(name) for name in samples)
        assert requests.head(f"{url}/livez", timeout=10).status_code == 200
        assert requests.get(f"{url}/status", timeout=10).json()["stored"] == {"test": 2}
        if workers == 2:
            for worker in map(int, list_workers(collector)):
                os.kill(worker, signal.SIGKILL)
            wait_until(lambda: collector.log().count("is started again") == 2, "both are replaced")
            wait_until(lambda: len(list_workers(collector)) == 2, "they are there")
            assert WANTED.items() <= read_samples(url).items()
            again = {"Idempotency-Key": "b"}
            wait_until(
                lambda: collector.post(EVENTS, again, version="2j").status_code == 200, "their store is open"
            )
            stored = ("eventpub_collector_events_stored_total", "test")
            wait_until(lambda: read_samples(url)[stored] == 4, "the counters go on")


def list_workers(collector: CollectorProcess) -> list[str]:
    found = subprocess.run(
        ["pgrep", "-P", str(collector.process.pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def test_errors_of_an_engine_have_a_bounded_number_of_names():
    counts = Counts()
    for number in range(500):
        counts.engine_failed(f"{number}" * 100)
    codes = counts.take().engine_errors
    assert (len(codes), sum(codes.values())) == (_MAX_CODES + 1, 500)
    assert max(map(len, codes)) == 40


def test_workers_are_added_up_and_the_store_is_as_the_worst_finds_it():
    counts = Counts()
    counts.stored("shop", 3, 1)
    counts.answered(200, 0.02)
    well, ill = counts.take(is_writable=True, reason=""), counts.take(is_writable=False, reason="locked")
    both = add_snapshots([well, Snapshot.from_json(ill.to_json())])
    assert (both.stored, both.unknown_fields, both.requests) == ({"shop": 6}, {"shop": 2}, {"200": 2})
    assert (both.workers, both.is_writable, both.reason) == (2, False, "locked")
    assert (both.request_buckets[1], both.request_buckets[2], both.request_buckets[-1]) == (0, 2, 2)
