"""The end of native threads, before that of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

if TYPE_CHECKING:
    from gevent.threadpool import ThreadPool

_END_SECONDS = 0.5  # one may wait for a name server, or for a disk that does not answer


def end_threads(*pools: ThreadPool) -> None:
    """End the threads of these pools; those that are busy for half a second more are left alone.

    A thread that is only about to start when Python ends crashes the process.
    """
    gevent.joinall([gevent.spawn(pool.kill) for pool in pools], timeout=_END_SECONDS)
