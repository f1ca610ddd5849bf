"""Opens the spool at the start, and waits for what may come by itself: descriptors, a disk that works."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import gevent

from eventpub.process.descriptors import explain_error, find_lack
from eventpub.process.log_limit import LogLimit
from eventpub.process.threads import end_threads, start_threads
from eventpub.sidecar.spool.disk import RETRY_SECONDS
from eventpub.sidecar.spool.errors import SpoolDiskError
from eventpub.sidecar.spool.spool import Spool

from .host import default_spool_dir

if TYPE_CHECKING:
    from eventpub.process.notify import Supervisor
    from eventpub.queue.message_queue import MessageQueue
    from eventpub.sidecar.spool.disk import Disk
    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .config import SidecarConfig
    from .signals import Wakeups

logger = logging.getLogger(__name__)

_NEEDED_DESCRIPTORS = 24  # a sidecar that is started holds 12, and 4 a batch that is made, sealed or sent


_NEEDED_THREADS = 6  # they receive, seal, make files, watch, and look up names and facts


class StoppedEarly(Exception):  # noqa: N818, no error
    """A signal said to stop before there was anything to stop."""


def wait_for_means(wakeups: Wakeups) -> None:
    """Return once there are enough descriptors and threads; a start that found too few would break off.

    Raises:
        StoppedEarly: a signal says to stop meanwhile.
    """
    limit = LogLimit(logger)
    while error := find_lack(_NEEDED_DESCRIPTORS) or _find_lack_of_threads():
        limit.log(logging.ERROR, f"cannot start yet: {explain_error(error)}")
        _wait(wakeups)
    gevent.get_hub().threadpool.size = 1  # looks up names, also where no further thread can be started


def _find_lack_of_threads() -> OSError | None:
    try:
        end_threads(start_threads(_NEEDED_THREADS))
    except OSError as error:
        return error
    return None


def open_spool(
    config: SidecarConfig,
    queue_name: str,
    telemetry: Telemetry,
    *,
    wakeups: Wakeups,
    supervisor: Supervisor,
    disk: Disk | None,
) -> Spool:
    """Open the spool; wait while its disk is full or fails, since giving up would need an operator.

    Raises:
        StoppedEarly: a signal says to stop meanwhile.
        SpoolError: it cannot be used.
    """
    said = ""
    while True:
        try:
            return Spool(
                config.spool_dir or default_spool_dir(),
                queue_name,
                max_bytes=config.spool_max_size_bytes,
                dead_max_bytes=config.dead_letters_max_size_bytes,
                when_dead_full=config.dead_letters_when_full,
                fsync=config.spool_fsync == "seal",
                telemetry=telemetry,
                disk=disk,
            )
        except SpoolDiskError as error:
            if str(error) != said:
                logger.error("cannot start yet: %s", error)  # noqa: TRY400, no traceback
            supervisor.status(f"cannot start yet: {error}")
            said = str(error)
            _wait(wakeups)


def describe_start(queue: MessageQueue, spool: Spool) -> dict[str, object]:
    """Return the facts of queue and spool that the log has at the start."""
    return {
        "queue": queue.name,
        "waiting": queue.depth(),
        "max_messages": queue.max_messages,
        "max_message_bytes": queue.max_message_size,
        "spool": spool.directory,
        "spooled": spool.events,
        "spooled_bytes": spool.size_bytes,
    }


def _wait(wakeups: Wakeups) -> None:
    if woken := wakeups.wait_for_stop(RETRY_SECONDS):
        logger.info("stopped before it had started reason=%s", woken)
        raise StoppedEarly from None
