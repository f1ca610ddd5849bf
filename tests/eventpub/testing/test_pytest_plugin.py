"""The pytest plugin, in runs of its own: fixtures for tests that ask for them, and no cost for others."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest
from support.pages import read_blocks
from support.paths import ROOT
from support.processes import run_pytest

from eventpub.errors import QueueMissingError
from eventpub.testing import take_messages


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of some code."""
    (folder / "test_app.py").write_text(textwrap.dedent(code))
    return run_pytest(folder / "test_app.py", *arguments)


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


CAPTURED = """
    import pytest
    from eventpub import EventQueue, UnwritableValueError
    from eventpub.errors import QueueMissingError
    from eventpub.testing import take_messages

    QUEUE = EventQueue("never-in-the-kernel")
    QUEUE.put({"name": "imported"})

    @pytest.fixture(scope="session", autouse=True)
    def put_by_a_fixture():
        QUEUE.put({"name": "fixture"})

    def test_nothing_reaches_the_kernel():
        QUEUE.put({"name": "a"})
        EventQueue("never-in-the-kernel").put({"name": "b"})
        with pytest.raises(QueueMissingError):
            take_messages("never-in-the-kernel")

    def test_each_test_sees_its_own(captured_events):
        QUEUE.put({"name": "shop.sold"})
        assert captured_events.named("shop.*").one() == {"name": "shop.sold"}

    def test_values_are_strict():
        with pytest.raises(UnwritableValueError):
            QUEUE.put({"name": object()})

    def test_a_real_queue_can_be_had(posix_event_queue):
        posix_event_queue.put({"name": "real"})
        assert take_messages(posix_event_queue.name) == [b'{"name":"real"}']
"""


def test_one_line_captures_the_events_of_all_tests(tmp_path: Path):
    (line,) = read_blocks(ROOT / "docs/testing.md", "ini")
    (tmp_path / "pytest.ini").write_text(line)
    done = run(tmp_path, CAPTURED)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_queue_of_the_fixture_is_strict_in_every_thread(tmp_path: Path):
    code = """
    import threading
    import pytest
    from eventpub import UnwritableValueError
    from eventpub.tracking import Tracker

    def test_a_thread(event_queue):
        caught = []

        def emit():
            try:
                Tracker({"queue": event_queue}).emit("sold", {"a": object()})
            except UnwritableValueError as error:
                caught.append(error)

        thread = threading.Thread(target=emit)
        thread.start()
        thread.join()
        assert len(caught) == 1
    """
    done = run(tmp_path, code)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


FROZEN = """
    import time
    from datetime import datetime, timezone

    import pytest
    from freezegun import freeze_time

    from eventpub import EventQueue, EventQueueFullError
    from eventpub.queue.message_queue import remove_queue
    from eventpub.testing import take_messages
    from eventpub.tracking import AsyncBackend, MemoryBackend, Tracker

    @freeze_time("2020-01-01")
    def test_put_waits_as_long_as_it_is_told(posix_event_queue):
        for _ in range(10):
            posix_event_queue.put({"noun": "tea"})
        with pytest.raises(EventQueueFullError):
            posix_event_queue.put({"noun": "tea"}, timeout=0.05)

    def test_a_queue_that_was_removed_is_noticed_after_a_freeze(posix_event_queue):
        with freeze_time("2020-01-01") as frozen:
            posix_event_queue.put({"noun": "tea"})
            frozen.move_to("2040-01-01")
            posix_event_queue.put({"noun": "tea"})
        remove_queue(posix_event_queue.name)
        time.sleep(1.05)
        posix_event_queue.put({"noun": "rescued"})
        assert b'{"noun":"rescued"}' in take_messages(posix_event_queue.name)

    @freeze_time("2020-01-01")
    def test_timestamps_are_frozen_and_a_background_drains():
        memory = MemoryBackend()
        background = AsyncBackend(memory)
        Tracker({"background": background}).emit("n")
        assert background.close(timeout=5)
        assert memory.events[0]["timestamp"] == datetime(2020, 1, 1, tzinfo=timezone.utc)
"""


def test_clocks_that_wait_go_on_where_freezegun_stops_all_others(tmp_path: Path):
    done = run(tmp_path, FROZEN)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_freezegun_is_not_imported_for_it(tmp_path: Path):
    done = run(tmp_path, "import sys\ndef test_it():\n    assert 'freezegun' not in sys.modules\n")
    assert done.returncode == 0, done.stdout
