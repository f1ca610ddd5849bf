"""The documentation as a site: `make docs` builds it strictly; here is what it builds from."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from types import ModuleType
from typing import Any

import pytest
from support.paths import ROOT

from eventpub.cli.command import build_parser
from eventpub.collector.config import Settings
from eventpub.collector.telemetry import exported as of_collector
from eventpub.sidecar.config import SidecarConfig
from eventpub.sidecar.status import exported as of_sidecar
from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason
from eventpub.sidecar.telemetry.statsd_names import STATSD_METRICS

NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
IN_NAV = re.findall(r": ([\w/-]+\.md)$", NAV, re.MULTILINE)


@pytest.fixture(scope="module")
def site() -> ModuleType:
    pytest.importorskip("mkdocs", reason="`make docs` installs mkdocs")
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "docs/site.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_can_be_found_from_the_first():
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert pages <= set(IN_NAV)
    assert len(IN_NAV) == len(set(IN_NAV))


@pytest.mark.parametrize(
    ("program", "declared", "path"),
    [("sidecar", SidecarConfig, "example.ini"), ("collector", Settings, "deploy/collector.ini")],
)
def test_every_setting_has_words_default_and_what_is_allowed(site: Any, program: str, declared: Any, path: str):
    page = site.describe_settings(program, declared, path)
    for field in dataclasses.fields(declared):
        entry = page.partition(f"### `{field.metadata['key']}`\n")[2].partition("\n###")[0]
        assert len(entry.strip().splitlines()[0]) > 10, field.metadata["key"]
        assert f"- Allowed: {field.metadata['kind'].allowed}" in entry
        assert ("- Required." in entry) == (field.default is dataclasses.MISSING)


def test_links_to_the_checkout_lead_to_pages(site: Any):
    assert site.relink("[a](docs/events.md#types) [b](example.ini)", "index.md") == (
        "[a](events.md#types) [b](files/example.ini.md)"
    )
    assert site.relink("[a](../README.md#layout) [b](#here) [c](https://x.y/z.md)", "operating.md") == (
        "[a](index.md#layout) [b](#here) [c](https://x.y/z.md)"
    )
    assert site.relink("[a](../../example.ini)", "reference/put.md") == "[a](../files/example.ini.md)"
    assert site.relink("[a](missing.md)", "index.md") == "[a](missing.md)"


def test_commands_are_shown_by_their_parsers(site: Any):
    page = site.describe_commands()
    assert page.count("\n## eventpub doctor\n") == 1
    for name in site._subcommands(build_parser()):
        assert f"\n## eventpub {name}\n" in page
        assert f"usage: eventpub {name}" in page


def test_every_metric_stands_on_their_page_with_its_words(site: Any):
    page = site.describe_metrics()
    for metric in (*of_sidecar.METRICS, *of_collector.METRICS, *STATSD_METRICS):
        assert re.search(rf"^\| `{re.escape(metric.name)}[`{{].* \| {metric.kind} \| ", page, re.MULTILINE)
        assert metric.words in page
    for name in ("put.accepted", "put.full", "put.too_large", "put.unserializable", "values.replaced"):
        assert f"`{name}`" in page
    for reason in (*DropReason, *DeadReason):
        assert f"| `{reason.value}` | " in page


def test_what_would_be_fetched_from_elsewhere_is_found(site: Any):
    assert site._FETCHED.search('<script src="https://unpkg.com/x.js">')
    assert site._FETCHED.search("@import url(https://fonts.example/css)")
    assert not site._FETCHED.search('<a href="https://squidfunk.github.io">x</a> <script src="assets/a.js">')
