"""Rules, dashboard and docs name declared metrics by labels that they have; what is declared is told."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.paths import ROOT

from eventpub.collector.telemetry import exported as of_collector
from eventpub.collector.telemetry import prometheus as collector_view
from eventpub.collector.telemetry.counts import Snapshot
from eventpub.process.metric import Metric
from eventpub.queue import metrics as put_metrics
from eventpub.sidecar.config import SidecarConfig
from eventpub.sidecar.status import exported as of_sidecar
from eventpub.sidecar.status import prometheus as sidecar_view
from eventpub.sidecar.status.record import (
    DeliveryPart,
    LedgerPart,
    ProcessPart,
    QueuePart,
    SpoolPart,
    StatusRecord,
)
from eventpub.sidecar.telemetry.attempts import Attempts
from eventpub.sidecar.telemetry.statsd_names import STATSD_METRICS

DECLARED = {metric.name: metric for metric in (*of_sidecar.METRICS, *of_collector.METRICS)}
RULES = (ROOT / "deploy/prometheus/eventpub.rules.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy/grafana/eventpub.json").read_text(encoding="utf-8"))
EXPRESSIONS = [
    *re.findall(r"^ +expr: (?:\|\n)?((?:.|\n)*?)^ +(?:for|labels):", RULES, re.MULTILINE),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])),
    *(each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each),
]
OF_TARGET = {"instance", "job"}  # which Prometheus adds
NO_METRICS = {"up", "ALERTS"}  # Prometheus's own
A_METRIC = re.compile(r"\beventpub_[a-z_]+(?:_total|_bytes|_seconds|_info|_bucket|_count|_sum)\b")


def find_labels(name: str) -> set[str]:
    """Return the labels that a sample of this name has."""
    bare = re.sub(r"_(bucket|count|sum)$", "", name)
    metric = DECLARED[name] if name in DECLARED else DECLARED[bare]
    common = set() if metric in of_collector.METRICS else {"queue", "slot"}
    buckets = {"le"} if metric.kind == "histogram" and name.endswith("_bucket") else set()
    return {*metric.labels, *common, *buckets, *OF_TARGET}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_and_dashboard_ask_for_what_is_declared(expression: str) -> None:
    asked = set(re.findall(r"\b(?:eventpub|probe)_\w+", re.sub(r'"[^"]*"', '""', expression)))
    by = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
    by |= set(re.findall(r"[{,] ?(\w+)[=!]", expression))
    assert asked or set(re.findall(r"\w+", expression)) & NO_METRICS
    for name in asked:
        assert by <= find_labels(name), (name, by)


def test_collectors_and_sidecars_are_both_watched() -> None:
    words = set(re.findall(r"\w+", "".join(EXPRESSIONS)))
    assert {"eventpub_collector_store_ready", "eventpub_collector_requests_total"} <= words
    assert not [word for word in words if word.startswith("probe_")]  # of another program


def test_the_docs_name_only_what_is_declared() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md"), *ROOT.glob("*.md")]
    for page in pages:
        for name in A_METRIC.findall(page.read_text(encoding="utf-8")):
            assert find_labels(name), (page, name)


def test_the_table_of_alerts_names_only_what_is_declared() -> None:
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    table = page.partition("| alert ")[2].partition("\n\n")[0]
    rows = [row.split(" | ")[0] for row in table.splitlines()[2:]]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    put = set(re.findall(r"`(put\.\w+)`", put_metrics.__doc__ or ""))
    settings = {field.metadata["key"] for field in dataclasses.fields(SidecarConfig)}
    labelled = {f"{metric.name}." for metric in STATSD_METRICS if metric.labels}
    declared = {*(metric.name for metric in STATSD_METRICS), *DECLARED, *put, *settings}
    assert len(named) > 10
    assert {name for name in named - declared if not name.startswith(tuple(labelled))} == set()


def test_what_a_sidecar_tells_is_what_is_declared() -> None:
    record = StatusRecord(
        taken_at=1.0,
        state="running",
        process=ProcessPart(
            pid=1, eventpub="1", loops="compiled", slot=0, directory="/s", config_path="c", started_at=1.0
        ),
        queue=QueuePart(name="v2", depth_messages=1),
        ledger=LedgerPart(dead_by_reason={"rejected": 1}),
        spool=SpoolPart(oldest_at=1.0),
        delivery=DeliveryPart(last_success_at=1.0, attempts={"accepted 200": 1}),
    )
    values = sidecar_view.find_values(record, Attempts())
    assert values.keys() == {metric.name for metric in of_sidecar.METRICS}
    assert None not in values.values()
    check_told(sidecar_view.write_metrics(record, Attempts()), of_sidecar.METRICS, {"queue", "slot"})


def test_what_a_collector_tells_is_what_is_declared() -> None:
    one = {"a": 1}
    snapshot = Snapshot(
        taken_at=1.0, requests=one, stored=one, duplicate=one, engine_errors=one, unknown_fields=one
    )
    assert collector_view.find_values(snapshot).keys() == {metric.name for metric in of_collector.METRICS}
    check_told(collector_view.write_metrics(snapshot), of_collector.METRICS, set())


def check_told(text: bytes, metrics: tuple[Metric, ...], common: set[str]) -> None:
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in text_string_to_metric_families(text.decode())
    }
    assert families.keys() == {metric.name for metric in metrics}
    for metric in metrics:
        family = families[metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.words)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == {*metric.labels, *common}


def test_reasons_of_refusals_are_the_codes_of_the_collectors_answers() -> None:
    """Each is a code that stands in the collector, and every code of an answer of 4xx to a batch is one."""
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "collector").rglob("*.py")}
    text = "".join(source for path, source in sources.items() if path.name != "exported.py")
    for reason in of_collector.REFUSALS:
        assert f'"{reason}"' in text, reason
    stages = ["intake.py", "events/reader.py", "http/body.py"]
    codes = {
        code
        for name in stages
        for code in re.findall(r'refuse\(\s*4\d\d,\s*"(\w+)"', sources[ROOT / "collector" / name])
    }
    assert codes <= set(of_collector.REFUSALS)
