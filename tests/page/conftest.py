"""A real Chromium, and a collector whose page it shows. `make test-page` runs these tests, `make test` not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Browser
from support.collector_process import CollectorProcess


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests; each begins with a page of its own."""
    missing = [program for program in ("chromium", "chromedriver") if not shutil.which(program)]
    if missing:
        reason = f"not installed: {', '.join(missing)} (Debian: chromium chromium-driver)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="eventpub-chromium-") as profile:
        opened = Browser(Path(profile))
        yield opened
        opened.quit()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    """One for each test, since it is reset, stopped and started."""
    with CollectorProcess(tmp_path, faults=None, settings={"page.listen": "127.0.0.1:0"}) as running:
        yield running


@pytest.fixture
def page(browser: Browser, collector: CollectorProcess) -> Browser:
    """The browser, at the collector's page."""
    browser.resize(1280, 800)
    browser.set_dark(is_dark=False)
    browser.open(collector.page_url)
    return browser
