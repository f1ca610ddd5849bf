"""Native threads end before their process does: `eventpub/process/threads.py`."""

from __future__ import annotations

import os
import resource
import threading

import gevent
import pytest
from gevent.threadpool import ThreadPool
from support.forked import in_child, other_uid
from support.waiting import DEADLINE_SECONDS

from eventpub.process.descriptors import explain_error
from eventpub.process.threads import call_in, end_threads, start_threads


def test_idle_threads_end_and_a_busy_one_is_not_waited_for():
    release = threading.Event()
    busy, idle = ThreadPool(1), ThreadPool(2)
    try:
        waiting = busy.spawn(release.wait, DEADLINE_SECONDS)
        idle.apply(int)
        assert idle.size
        with gevent.Timeout(DEADLINE_SECONDS / 2):
            end_threads(busy, idle)
        assert not idle.size
        assert busy.size == 1
    finally:
        release.set()
    assert waiting.get()
    end_threads(busy)
    assert not busy.size


def test_what_a_thread_raises_is_raised_where_it_was_asked_for_and_nowhere_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pool = ThreadPool(1)
    assert call_in(pool, int, "7") == 7
    with pytest.raises(ValueError, match="seven"):
        call_in(pool, int, "seven")
    end_threads(pool)
    assert capfd.readouterr() == ("", "")


def test_threads_that_cannot_be_started_are_an_error_that_says_what_to_raise():
    def start() -> str:
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        with pytest.raises(OSError, match="no thread can be started") as caught:
            start_threads(2)
        return explain_error(caught.value)

    assert "TasksMax=" in in_child(start, uid=other_uid() if os.geteuid() == 0 else None)
