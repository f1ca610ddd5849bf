"""deploy/prometheus and deploy/grafana: each alert fires in its incident and in no other."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from support.needs import need
from support.pages import read_blocks
from support.paths import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
RULES = PROMETHEUS / "eventpub.rules.yml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/eventpub.json").read_text())

_SIDECAR = 'instance="shop-1:9464", job="eventpub-sidecar", queue="v2", slot="0"'
_COLLECTOR = 'instance="collector-1:9465", job="eventpub-collector"'
REFUSED = f"eventpub_collector_events_refused_total{{{_COLLECTOR}, reason"
# half an hour of samples, one a minute, of a host where all is well
WELL = {
    'up{instance="shop-1:9464", job="eventpub-sidecar"}': "1x30",
    f"eventpub_events_received_total{{{_SIDECAR}}}": "0+600x30",
    f"eventpub_events_delivered_total{{{_SIDECAR}}}": "0+600x30",
    f'eventpub_events_dropped_total{{{_SIDECAR}, reason="damaged"}}': "0x30",
    f'eventpub_events_dead_total{{{_SIDECAR}, reason="refused"}}': "0x30",
    f"eventpub_events_spooled{{{_SIDECAR}}}": "10x30",
    f"eventpub_events_unaccounted{{{_SIDECAR}}}": "0x30",
    f"eventpub_queue_messages{{{_SIDECAR}}}": "3x30",
    f"eventpub_queue_capacity_messages{{{_SIDECAR}}}": "10000x30",
    f"eventpub_spool_bytes{{{_SIDECAR}}}": "4096x30",
    f"eventpub_spool_limit_bytes{{{_SIDECAR}}}": "1073741824x30",
    f"eventpub_disk_errors_total{{{_SIDECAR}}}": "0x30",
    f'eventpub_attempts_total{{{_SIDECAR}, outcome="accepted", code="200"}}': "0+60x30",
    f"up{{{_COLLECTOR}}}": "1x30",
    f"eventpub_collector_store_ready{{{_COLLECTOR}}}": "1x30",
    f'eventpub_collector_events_refused_total{{{_COLLECTOR}, reason="invalid_events"}}': "0x30",
    f'eventpub_collector_events_refused_total{{{_COLLECTOR}, reason="unauthorized"}}': "0x30",
    f'eventpub_collector_events_refused_total{{{_COLLECTOR}, reason="too_large"}}': "0x20 500x10",
}
NOTHING_DELIVERED = {
    "eventpub_events_delivered_total": "0+600x10 6000x20",
    "eventpub_events_spooled": "10x10 10+600x20",
}
# what a test of the same name does to a real sidecar or collector -> what changes, and which alerts that fires
INCIDENTS: dict[str, tuple[dict[str, str], set[str]]] = {
    "well": ({}, set()),
    "no events": ({"eventpub_events_delivered_total": "0x30", "eventpub_events_spooled": "0x30"}, set()),
    "a restart": ({"eventpub_events_delivered_total": "0+600x15 0+600x15"}, set()),
    "sidecar killed": ({'up{instance="shop-1': "1x10 0x20"}, {"EventpubSidecarDown"}),
    "collector down": (
        {**NOTHING_DELIVERED, 'up{instance="collector': "1x10 0x20"},
        {"EventpubNothingDelivered", "EventpubCollectorDown"},
    ),
    "key refused": (
        {**NOTHING_DELIVERED, 'outcome="held", code="401"': "0+2x30", REFUSED + '="unauthorized"': "0+900x30"},
        {"EventpubNothingDelivered", "EventpubKeyRefused"},
    ),
    "certificate expired": (
        {**NOTHING_DELIVERED, 'outcome="held", code="tls"': "0+2x30"},
        {"EventpubNothingDelivered", "EventpubCertificateRefused"},
    ),
    "spool full": (
        {**NOTHING_DELIVERED, "eventpub_spool_bytes": "1073740000x30", "eventpub_queue_messages": "10000x30"},
        {"EventpubNothingDelivered", "EventpubSpoolFilling", "EventpubQueueNearlyFull"},
    ),
    "spool full, drop_oldest": (
        {
            **NOTHING_DELIVERED,
            "eventpub_events_dropped_total": "0+100x30",
            "eventpub_spool_bytes": "1073740000x30",
        },
        {"EventpubNothingDelivered", "EventpubSpoolFilling", "EventpubEventsDropped"},
    ),
    "disk full": ({"eventpub_disk_errors_total": "0x20 1+1x10"}, {"EventpubDiskErrors"}),
    "poison": (
        {"eventpub_events_dead_total": "0x25 1x5", REFUSED + '="invalid_events"': "0x25 1x5"},
        {"EventpubDeadLetters", "EventpubCollectorRefuses"},
    ),
    "damaged file": ({"eventpub_events_dropped_total": "0x28 3x2"}, {"EventpubEventsDropped"}),
    "hung store": (
        {**NOTHING_DELIVERED, "eventpub_collector_store_ready": "1x10 0x20"},
        {"EventpubNothingDelivered", "EventpubStoreNotReady"},
    ),
    "books that are off": ({"eventpub_events_unaccounted": "0x20 -2x10"}, {"EventpubEventsUnaccounted"}),
}


def change(series: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    """Give the series whose name begins so other values; what is an attempt's labels is a new series."""
    changed = dict(series)
    for begin, values in changes.items():
        names = [name for name in series if name.startswith(begin)]
        for name in names or [f"eventpub_attempts_total{{{_SIDECAR}, {begin}}}"]:
            changed[name] = values
    return changed


def test_each_incident_fires_its_alerts_and_no_other(tmp_path: Path) -> None:
    tests = []
    for incident, (changes, alerts) in INCIDENTS.items():
        series = [{"series": name, "values": values} for name, values in change(WELL, changes).items()]
        expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)]
        expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
        asked = {"expr": expression, "eval_time": "29m", "exp_samples": expected}
        tests.append({"name": incident, "interval": "1m", "input_series": series, "promql_expr_test": [asked]})
    file = tmp_path / "incidents.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    command = [need("promtool", "apt-get install prometheus"), "test", "rules", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_an_incident() -> None:
    alerts = {rule["alert"] for group in read_rules() for rule in group["rules"]}
    assert alerts == {alert for _, expected in INCIDENTS.values() for alert in expected}


def test_the_readme_is_followed(tmp_path: Path) -> None:
    need("promtool", "apt-get install prometheus")
    for script in read_blocks(PROMETHEUS / "README.md", "sh"):
        subprocess.run(["bash", "-ec", script], cwd=PROMETHEUS, check=True)
    (script,) = read_blocks(ROOT / "deploy/grafana/README.md", "sh")
    there = script.replace(" /var/", f" {tmp_path}/var/").replace(" /etc/", f" {tmp_path}/etc/")
    subprocess.run(["bash", "-ec", there], cwd=ROOT / "deploy/grafana", check=True)
    provider = yaml.safe_load((tmp_path / "etc/grafana/provisioning/dashboards/eventpub.yml").read_text())
    (folder,) = (each["options"]["path"] for each in provider["providers"])
    assert (tmp_path / folder.lstrip("/") / "eventpub.json").exists()


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__\w+", "5m", expression)}
        for number, expression in enumerate(list_expressions())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [need("promtool", "apt-get install prometheus"), "check", "rules", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def read_rules() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return groups


def list_expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
