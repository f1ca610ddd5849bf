"""The rules and the dashboard of deploy/ ask for metrics that a real sidecar has, by labels that they have."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.paths import ROOT
from support.waiting import wait_until

from eventpub import EventQueue
from eventpub.sidecar.status.answering import socket_path

RULES = (ROOT / "deploy/prometheus/eventpub.rules.yml").read_text()
DASHBOARD = json.loads((ROOT / "deploy/grafana/eventpub.json").read_text())
EXPRESSIONS = [
    *re.findall(r"^ +expr: (?:\|\n)?((?:.|\n)*?)^ +(?:for|labels):", RULES, re.MULTILINE),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])),
    *(each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each),
]
OF_TARGET = {"instance", "job"}  # which Prometheus adds


def scrape(path: Path) -> str:
    connection = http.client.HTTPConnection("sidecar", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def test_sidecars_have_what_rules_and_dashboard_ask_for(
    nursery: Nursery, tmp_path: Path, queue_name: str
) -> None:
    with CollectorProcess(tmp_path, nursery=nursery) as collector:
        sidecar = NurserySidecar(nursery, tmp_path, queue_name, collector.port, collector_version="2j")
        try:
            with EventQueue(queue_name) as queue:
                queue.put({"n": 1})
            path = socket_path(sidecar.spool / queue_name / "0")
            delivered = f'eventpub_events_delivered_total{{queue="{queue_name}",slot="0"}} 1.0'
            wait_until(lambda: delivered in scrape(path), "the event is delivered")
            text = scrape(path)
        finally:
            sidecar.kill()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels = {sample.name: set(sample.labels) | OF_TARGET for sample in samples}
    # there is one only while something waits
    labels["eventpub_spool_oldest_timestamp_seconds"] = {"queue", "slot"} | OF_TARGET
    for expression in EXPRESSIONS:
        asked = set(re.findall(r"\beventpub_(?!collector_)\w+", expression))
        assert asked <= set(labels), expression
        by = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        by |= set(re.findall(r"[{,] ?(\w+)=", expression))
        for name in asked:
            assert by <= labels[name], (expression, labels[name])
