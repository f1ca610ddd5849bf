"""Programs run to their end, as users run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.paths import ROOT


def run_module(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE` in the checkout; return its output as text."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def run_pytest(
    file: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the tests of a file as somebody else's project does, with eventpub installed."""
    absent = ("cacheprovider", "hypothesispytest", "xdist", "anyio")  # a second of imports
    without = [word for name in absent for word in ("-p", f"no:{name}")]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *without, *arguments, file.name],
        cwd=file.parent,
        env={**own, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
