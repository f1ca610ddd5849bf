"""The page docs/coming-from-event-tracking.md, and the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import re
from typing import Any

import pytest
from support.paths import ROOT
from support.waiting import wait_until

from eventpub import tracking
from eventpub.tracking import tracker as tracker_module

PAGE = (ROOT / "docs/coming-from-event-tracking.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_of_the_page_do_what_it_says(capsys: pytest.CaptureFixture[str]):
    namespace: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, namespace)
    analytics = namespace["analytics"]
    wait_until(lambda: len(analytics.events) == 2, "both events of the cart arrive, and not the page view")
    assert analytics.names == ["shop.cart.opened", "shop.cart.counted"]
    assert [event["context"] for event in analytics.events] == [{"path": "/cart", "host": "app-1"}] * 2
    namespace["tracker"].routing_backend.register_backend("printer", namespace["Printer"]())
    namespace["tracker"].emit("printed")
    assert capsys.readouterr().out == "printed\n"


def test_every_import_the_page_names_can_be_imported():
    imports = re.findall(r"`(from eventpub\S* import [^`]+)`", PAGE)
    assert len(imports) == 10
    for line in imports:
        exec(line, {})


@pytest.mark.parametrize("module", ["tracker", "contexts"])
def test_the_examples_in_docstrings_are_true(module: str):
    results = doctest.testmod(importlib.import_module(f"eventpub.tracking.{module}"))
    assert results.attempted
    assert not results.failed


def test_the_example_of_the_package_is_true():
    try:
        assert doctest.testmod(tracking) == (0, 3)
    finally:
        tracker_module._trackers.clear()
