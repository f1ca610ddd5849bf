"""Programs of ours run to their end, as users run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.paths import ROOT


def run_module(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE` in the checkout; return its output as text."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
