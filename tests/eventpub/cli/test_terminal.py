"""Colour on terminals, and output that cannot be written."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys

import pytest
from support.eventpub_command import script
from support.paths import ROOT

from eventpub.queue.message_queue import MessageQueue


@pytest.mark.parametrize("words", ["queue list >&-", "doctor >&-", "doctor >/dev/full"])
def test_output_that_cannot_be_written_is_said_so_and_has_an_exit_code(words: str):
    done = script(f"$eventpub {words}")
    assert done.returncode == 74
    assert re.fullmatch(r"eventpub: standard output.*\n", done.stderr)


def in_terminal(*arguments: str, **environment: str) -> str:
    """Return what the command writes to a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "eventpub", *arguments],
            cwd=ROOT,
            stdout=theirs,
            env=os.environ | {"NO_COLOR": "", "TERM": "xterm", **environment},
        )
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # EIO: the command has ended
            while chunk := screen.read(4096):
                written += chunk
        process.wait(30)
    return written.decode()


def test_a_terminal_gets_colour_unless_it_is_unwanted(queue: MessageQueue):
    arguments = ("doctor", "--queue-name", queue.name)
    assert "\x1b[32mok" in in_terminal(*arguments)
    assert "\x1b" not in in_terminal(*arguments, NO_COLOR="1")
    assert "\x1b" not in in_terminal(*arguments, TERM="dumb")
    assert "\x1b" not in script("$eventpub " + " ".join(arguments)).stdout
