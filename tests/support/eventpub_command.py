"""The `eventpub` command, run in a child as a user runs it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from eventpub.cli import main
from support.commands import Done
from support.forked import in_child
from support.paths import ROOT


def eventpub(*arguments: str, stdin: str = "") -> Done:
    """Run the command in this process."""
    logging.getLogger().handlers.clear()  # pytest's, which this process inherited
    out, err = io.StringIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    return Done(code, out.getvalue(), err.getvalue())


def may_raise_limits() -> bool:
    """Whether this process has CAP_SYS_RESOURCE, and so may raise a hard limit."""
    status = Path("/proc/self/status").read_text()
    return bool(int(re.search(r"CapEff:\s*(\w+)", status)[1], 16) & 1 << 24)


def run(*arguments: str, stdin: str = "", uid: int | None = None, before: Callable[[], object] = int) -> Done:
    """Run the command in a child, after it did `before`."""

    def child() -> Done:
        before()
        return eventpub(*arguments, stdin=stdin)

    return in_child(child, uid=uid)


def script(text: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which `$eventpub` is the command."""
    environment = os.environ | {"eventpub": f"{sys.executable} -m eventpub"}
    return subprocess.run(
        ["sh", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
