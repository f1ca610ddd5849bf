"""The ordinary ends of a process, and the five seconds that are left there for what waits.

| end                                            | how it is noticed                                     |
|------------------------------------------------|-------------------------------------------------------|
| Python's own, also after `sys.exit` and Ctrl-C | `atexit`                                              |
| of a child of multiprocessing or billiard      | a finalizer of theirs; they do without `atexit`       |
| of a Celery worker's child, by `os._exit`      | its signal `worker_process_shutdown`                  |
| of a server by the signal it got, as uvicorn   | the end of the ASGI lifespan, where `drain` is called |
| of a worker of hypercorn, by SIGTERM           | a handler of it, as long as the lifespan lasts        |

Nothing can be done where a process is killed, ends by `os._exit`, or by a signal that nobody handles.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
import weakref
from typing import Any

logger = logging.getLogger(__name__.rpartition(".")[0])

EXIT_SECONDS = 5.0  # half of what supervisors commonly grant before they kill
_FIRST = 100  # of the finalizers: a backend may send to a queue that is closed by another, at 10


living: weakref.WeakSet[Any] = weakref.WeakSet()  # what is closed at the end of any process it is used in
_noticed: set[str] = set()  # ends that have been registered in this process


def drain(timeout: float = EXIT_SECONDS) -> bool:
    """Deliver what waits in the `AsyncBackend`s of this process, which go on taking events.

    For an end that Python does not notice; the ASGI integration calls it at the end of the lifespan.

    Args:
        timeout: seconds to wait at most, for all together; 5 by default.

    Returns:
        Whether nothing waits any more; else that is logged.
    """
    deadline = time.monotonic() + timeout
    late = [one for one in list(living) if not one.flush(max(0.0, deadline - time.monotonic()))]
    for waiting in late:
        logger.warning(
            "events wait in %r after %s s still, and are lost if the process is killed now", waiting, timeout
        )
    return not late


def notice_ends() -> None:
    """Register for the ends that this process can come to, as far as its modules tell; once for each."""
    for name in ("multiprocessing", "billiard"):
        process, util = (sys.modules.get(f"{name}.{module}") for module in ("process", "util"))
        if name not in _noticed and process and util and _is_child(process):
            _noticed.add(name)
            util.Finalize(None, _close_all, exitpriority=_FIRST)
    celery = sys.modules.get("celery.signals")
    if "celery" not in _noticed and celery:
        _noticed.add("celery")
        celery.worker_process_shutdown.connect(_close_all, weak=False)


def forget_ends() -> None:
    """Note that this is a forked child, which has ends of its own."""
    _noticed.clear()


def _is_child(process: Any) -> bool:
    # billiard's main process is the only one without a parent
    return getattr(process.current_process(), "_parent_pid", None) is not None


def _close_all(**_named: Any) -> None:
    deadline = time.monotonic() + EXIT_SECONDS
    for waiting in list(living):
        waiting.close(max(0.0, deadline - time.monotonic()))


atexit.register(_close_all)
