"""What a machine may lack: skipped with a reason on a laptop, and failed in CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def lack(what: str, install: str) -> NoReturn:
    """Skip the test for want of something, or fail it in CI."""
    if "CI" in os.environ:
        pytest.fail(f"{what} is missing: {install}")
    pytest.skip(f"{what} is missing: {install}")


def need(program: str, install: str) -> str:
    """Return the path of a program, beside Python or on PATH."""
    path = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
    return path or lack(program, install)
