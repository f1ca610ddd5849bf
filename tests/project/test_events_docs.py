"""The page docs/events.md: what it shows works."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.paths import ROOT

from eventpub.testing import capture_events

PAGE = (ROOT / "docs/events.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PII_KEY", "pepper")
    namespace: dict[str, Any] = {"__name__": "events_page"}
    with capture_events(strict=False):
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"block {number} of docs/events.md", "exec", dont_inherit=True), namespace)
