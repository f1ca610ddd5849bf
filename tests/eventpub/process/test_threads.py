"""Native threads end before their process does: `eventpub/process/threads.py`."""

from __future__ import annotations

import threading

import gevent
from gevent.threadpool import ThreadPool
from support.waiting import DEADLINE_SECONDS

from eventpub.process.threads import end_threads


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
