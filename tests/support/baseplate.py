"""The real baseplate, which has an environment of its own."""

from __future__ import annotations

import os
import subprocess
import textwrap

import pytest

from support.paths import ROOT


def baseplate_python() -> str:
    """Return the interpreter that has the real baseplate; without it, skip the test, or fail it in CI."""
    python = os.environ.get("EVENTPUB_BASEPLATE_PYTHON", "")
    if not python:
        assert "CI" not in os.environ, "make test sets EVENTPUB_BASEPLATE_PYTHON"
        pytest.skip("EVENTPUB_BASEPLATE_PYTHON is no python with baseplate; make test makes one")
    return python


def run_with_baseplate(program: str, queue_name: str) -> str:
    """Run a program where baseplate is installed and return what it prints."""
    python = baseplate_python()
    beginning = f"""
        from baseplate import Baseplate
        from eventpub import EventQueue, serialize_v2_event
        from eventpub.schemas.event.ttypes import Event
        queue = EventQueue({queue_name!r}, serialize_v2_event, max_messages=5, max_message_size=512)
        event = Event(source="shop", action="buy", noun="tea", client_timestamp=1, uuid="u")
    """
    done = subprocess.run(
        [python, "-W", "ignore", "-c", textwrap.dedent(beginning) + textwrap.dedent(program)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
