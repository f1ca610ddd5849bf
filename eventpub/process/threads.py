"""Calls in native threads, and the end of those."""

from __future__ import annotations

import errno
import pickle  # noqa: F401, gevent imports it with the first exception, when there may be no descriptor left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from .descriptors import NO_THREAD

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_END_SECONDS = 0.5  # one may wait for a name server, or for a disk that does not answer


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def start_threads(count: int) -> ThreadPool:
    """Return a pool whose threads all run already, so that no call fails later because none can be started.

    Raises:
        OSError: this host, or its container, lets this user have no more threads now.
    """
    pool = ThreadPool(count)
    try:
        pool.size = count
    except RuntimeError as error:
        end_threads(pool)
        raise OSError(errno.EAGAIN, NO_THREAD) from error
    return pool


def call_in(pool: ThreadPool, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in one of these threads; return what it returns, or raise what it raises.

    gevent's own `apply` writes a traceback into the log of whatever is raised, be it expected.
    """
    outcome: T | _Raised = pool.apply(_try, (function, arguments))
    if isinstance(outcome, _Raised):
        raise outcome.error
    return outcome


def end_threads(*pools: ThreadPool) -> None:
    """End the threads of these pools; those that are busy for half a second more are left alone.

    A thread that is only about to start when Python ends crashes the process.
    """
    gevent.joinall([gevent.spawn(pool.kill) for pool in pools], timeout=_END_SECONDS)


def _try(function: Callable[..., T], arguments: tuple[Any, ...]) -> T | _Raised:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001, it is raised again where it was asked for
        return _Raised(error)
