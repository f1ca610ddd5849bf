"""Commands on a pseudo-terminal of their own, as a person runs them."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT
from support.waiting import DEADLINE_SECONDS


class Session(NamedTuple):
    code: int
    screen: str


def run_in_terminal(
    *words: object, answers: str = "", env: Mapping[str, str] | None = None, output: Path | None = None
) -> Session:
    """Run `eventpub WORD…` to its end on a terminal, but its output, if that goes to a file.

    What it asks is answered by the lines of `answers`.
    """
    ours, theirs = pty.openpty()
    with contextlib.nullcontext(theirs) if output is None else output.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "eventpub", *map(str, words)],
            cwd=ROOT,
            stdin=theirs,
            stdout=stdout,
            stderr=theirs,
            env={**os.environ, "NO_COLOR": "1", **(env or {})},
            start_new_session=True,
        )
    os.close(theirs)
    os.write(ours, answers.encode())
    screen = b""
    deadline = time.monotonic() + DEADLINE_SECONDS
    with contextlib.suppress(OSError):  # EIO: the command has ended
        while select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
            screen += os.read(ours, 4096)
    os.close(ours)
    return Session(process.wait(DEADLINE_SECONDS), screen.decode().replace("\r\n", "\n"))
