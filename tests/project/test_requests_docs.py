"""The page docs/requests.md: what it shows works."""

from __future__ import annotations

import contextvars
import re
import signal
from typing import Any

from support.pages import read_blocks
from support.paths import ROOT

PAGE = (ROOT / "docs/requests.md").read_text(encoding="utf-8")
BLOCKS = read_blocks(PAGE, "python")


def test_the_examples_of_the_page_run_one_after_the_other():
    def run() -> None:
        namespace: dict[str, Any] = {"__name__": "requests_page"}
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"block {number} of docs/requests.md", "exec", dont_inherit=True), namespace)

    before = signal.getsignal(signal.SIGTERM)
    try:
        contextvars.Context().run(run)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
