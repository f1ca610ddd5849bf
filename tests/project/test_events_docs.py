"""The page docs/events.md: what it shows works."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from support.pages import read_blocks
from support.paths import ROOT

from eventpub.integrations.app_settings import read_settings
from eventpub.pipeline import name_of
from eventpub.testing import capture_events

PAGE = (ROOT / "docs/events.md").read_text(encoding="utf-8")
BLOCKS = read_blocks(PAGE, "python")


def test_the_examples_of_the_page_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PII_KEY", "pepper")
    namespace: dict[str, Any] = {"__name__": "events_page"}
    with capture_events(strict=False):
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"block {number} of docs/events.md", "exec", dont_inherit=True), namespace)


def test_the_settings_of_the_page_are_taken_as_they_stand(monkeypatch: pytest.MonkeyPatch):
    (block,) = read_blocks(PAGE, "ini")
    monkeypatch.setenv("PII_KEY", "pepper")
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.money", SimpleNamespace(write_money=str))
    pairs = (line.removeprefix("eventpub.").partition(" = ") for line in block.splitlines())
    settings = {key: value for key, _, value in pairs}
    made = read_settings({"queue_name": "shop", **settings}, "eventpub").make_processors("eventpub")
    assert [type(processor).__name__ for processor in made] == ["Sample", "RateLimit", "Redact", "Hash"]


def test_the_classes_called_event_are_told_apart_and_imports_of_before_work():
    pipeline = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(eventpub\.[\w.]+\.Event|eventpub\.Event)`", pipeline))
    assert named == {
        "eventpub.Event",
        "eventpub.handlers.Event",
        "eventpub.processing.Event",
        "eventpub.schemas.event.ttypes.Event",
    }
    found = {name: import_module(name.rpartition(".")[0]).Event for name in named}
    assert found["eventpub.Event"] is found["eventpub.handlers.Event"]
    assert issubclass(found["eventpub.Event"], found["eventpub.processing.Event"])
    struct = found["eventpub.schemas.event.ttypes.Event"](source="shop", action="buy", noun="tea")
    assert name_of(struct) == "shop.tea.buy"
    assert name_of(found["eventpub.Event"]("build", result="passed")) == "build"
