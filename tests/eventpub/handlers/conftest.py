"""Fixtures of the tests of handlers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eventpub.handlers import EventManager

VARIABLE = "EVENTPUB_TEST_HANDLERS"


@pytest.fixture(autouse=True)
def no_variable_stays():
    yield
    os.environ.pop(VARIABLE, None)


@pytest.fixture
def manager() -> EventManager:
    return EventManager()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Returns a function that installs a package with entry points, and a module that it may lead to."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def installed(package: str, points: dict[str, str], source: str = "") -> None:
        (site / f"{package}.py").write_text(source)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[eventpub.handlers]", *lines]))

    return installed
