"""The pytest plugin, in runs of its own: fixtures for whoever asks for them, and nothing for everybody else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from eventpub.errors import QueueMissingError
from eventpub.testing import take_messages


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as somebody else's project does, with eventpub installed."""
    (folder / "test_app.py").write_text(textwrap.dedent(code))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "test_app.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


APP = """
    import pytest
    from eventpub import EventQueue, EventQueueFullError
    from eventpub.testing import MemoryQueue, take_messages

    def buy(events, noun):
        events.put({"noun": noun})

    def test_in_memory(event_queue):
        assert isinstance(event_queue, MemoryQueue)
        buy(event_queue, "tea")
        assert event_queue.events == [{"noun": "tea"}]
        event_queue.full = True
        with pytest.raises(EventQueueFullError):
            buy(event_queue, "tea")

    def test_each_test_has_its_own(event_queue):
        assert event_queue.events == []

    def test_captured(captured_events):
        buy(EventQueue("shop"), "tea")
        assert captured_events.events == [{"noun": "tea"}]

    def test_captured_anew(captured_events):
        assert captured_events.events == []

    def test_real(posix_event_queue):
        buy(posix_event_queue, "tea")
        assert take_messages(posix_event_queue.name) == [b'{"noun":"tea"}']
        print("queue", posix_event_queue.name)
"""


def test_the_fixtures_are_there_without_an_import(tmp_path: Path):
    done = run(tmp_path, APP, "-s")
    assert "5 passed" in done.stdout, done.stdout + done.stderr
    name = done.stdout.partition("queue test-")[2].split()[0]
    with pytest.raises(QueueMissingError):
        take_messages(f"test-{name}")


def test_a_project_may_have_fixtures_of_the_same_names(tmp_path: Path):
    code = """
        import pytest

        @pytest.fixture
        def event_queue():
            return "ours"

        def test_it(event_queue):
            assert event_queue == "ours"
    """
    assert "1 passed" in run(tmp_path, code).stdout


def test_a_run_that_uses_none_of_them_loads_none_of_it(tmp_path: Path):
    code = """
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.startswith("eventpub")}
            assert "eventpub.pytest_plugin" in ours
            assert "eventpub.testing" not in ours
            assert not {"gevent", "requests", "thrift.protocol", "statsd", "hypothesis"} & set(sys.modules)
    """
    done = run(
        tmp_path, code, "-p", "no:hypothesispytest", "-W", "error", "--strict-markers", "--strict-config"
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_it_can_be_left_out(tmp_path: Path):
    done = run(tmp_path, "def test_it(event_queue): pass", "-p", "no:eventpub")
    assert "fixture 'event_queue' not found" in done.stdout
