"""Fixtures of the tests that make attempts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.attempts import Attempt, PatchedAttempts, attempt_here


@pytest.fixture(scope="module")
def patched() -> Iterator[PatchedAttempts]:
    """Attempts of a process like the sidecar's, which gevent has patched."""
    with PatchedAttempts() as attempts:
        yield attempts


@pytest.fixture(params=["plain", "patched"])
def attempt(request: pytest.FixtureRequest) -> Attempt:
    return attempt_here if request.param == "plain" else request.getfixturevalue("patched")
