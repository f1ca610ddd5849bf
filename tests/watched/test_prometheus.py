"""A real Prometheus scrapes a sidecar and a collector. `make test-watched` runs these, `make test` not."""

from __future__ import annotations

from pathlib import Path

from support.collector_process import CollectorProcess
from support.ports import free_port
from support.rigs import numbered, put, wait_stored
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until
from support.watchers import Prometheus, check_metrics

from eventpub.queue.message_queue import MessageQueue

EVENTS = 25
FORGED = {"X-Signature": f"key=made-up, mac={'0' * 64}"}


def test_prometheus_counts_the_events_that_were_put(
    tmp_path: Path, queue: MessageQueue, queue_name: str
) -> None:
    jobs = {"eventpub-sidecar": f"127.0.0.1:{free_port()}", "eventpub-collector": f"127.0.0.1:{free_port()}"}
    at_sidecar, at_collector = jobs.values()
    wanted = {
        'up{job="eventpub-sidecar"}': 1,
        'up{job="eventpub-collector"}': 1,
        f'eventpub_events_received_total{{queue="{queue_name}"}}': EVENTS,
        f'eventpub_events_delivered_total{{queue="{queue_name}"}}': EVENTS,
        'sum(eventpub_events_dropped_total{job="eventpub-sidecar"})': 0,
        "eventpub_events_spooled": 0,
        "eventpub_events_unaccounted": 0,
        'eventpub_attempts_total{code="503"}': 1,
        "eventpub_put_to_store_seconds_count > bool 0": 1,
        'eventpub_collector_events_stored_total{key="test"}': EVENTS,
        'eventpub_collector_events_refused_total{reason="unauthorized"}': 1,
        'eventpub_collector_requests_total{code="401"}': 1,
        "eventpub_collector_store_ready": 1,
    }
    with CollectorProcess(
        tmp_path, faults=[{"status": 503, "times": 1}], settings={"status.listen": at_collector}
    ) as collector:
        sidecar = SidecarProcess(
            tmp_path, queue_name, collector.port, collector_version="2j", **{"status.listen": at_sidecar}
        )
        try:
            with Prometheus(tmp_path, jobs) as prometheus:
                put(queue, numbered(EVENTS))
                wait_stored(collector, range(EVENTS))
                assert collector.post(b'[{"a":1}]', FORGED).status_code == 401
                for expression, value in wanted.items():
                    wait_until(
                        lambda e=expression, v=value: prometheus.query(e) == [v], f"{expression} is {value}"
                    )
                rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
                assert rules
                assert [rule for rule in rules if rule["health"] == "err"] == []
                assert check_metrics(at_sidecar) == ""
                assert check_metrics(at_collector) == ""
                assert sidecar.stop() == 0
                wait_until(
                    lambda: prometheus.query('up{job="eventpub-sidecar"}') == [0], "it is seen to be gone"
                )
        finally:
            sidecar.kill()


def test_a_collector_of_several_workers_tells_nothing_that_promtool_objects_to(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = {"status.listen": address}
    with CollectorProcess(tmp_path, faults=None, settings=settings, arguments=["--workers", "2"]) as collector:
        for _ in range(2):
            assert collector.post(b'[{"a":1}]', {"Idempotency-Key": "a"}).status_code == 200
        assert collector.post(b'[{"a":1}]', FORGED).status_code == 401
        assert check_metrics(address) == ""
