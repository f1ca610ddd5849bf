"""What the service manager hears of a collector: READY once it serves, WATCHDOG while its hub turns."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import gevent

from eventpub.process.notify import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BEATS = 4  # within the time that the service manager waits


@contextlib.contextmanager
def tell_supervisor(words: str, is_well: Callable[[], bool]) -> Iterator[Supervisor]:
    """Tell it that this process serves, until the end of the context; that says nothing where there is none.

    Args:
        words: what `systemctl status` shows.
        is_well: whether its watchdog is told that all is well.
    """
    supervisor = Supervisor()
    supervisor.ready()
    supervisor.status(words)
    beating = gevent.spawn(_beat, supervisor, is_well)
    try:
        yield supervisor
    finally:
        supervisor.stopping()
        beating.kill()
        supervisor.close()


def _beat(supervisor: Supervisor, is_well: Callable[[], bool]) -> None:
    while supervisor.watchdog_seconds is not None:
        if is_well():
            supervisor.alive()
        gevent.sleep(supervisor.watchdog_seconds / _BEATS)
