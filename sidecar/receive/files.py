"""Makes the batch files that are received into, and seals them, in native threads that a disk may keep waiting.

What cannot be made or sealed now is tried again: the receiver asks again for a file, and a batch is sealed
until that is done. No thread writes to the log, which would need a descriptor where another thread is at it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from eventpub.process.descriptors import explain_error
from eventpub.process.log_limit import LogLimit
from eventpub.process.threads import call_in, end_threads, start_threads
from eventpub.sidecar.spool.disk import RETRY_SECONDS
from eventpub.sidecar.spool.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.process.progress import Stage
    from eventpub.queue.message_queue import MessageQueue
    from eventpub.sidecar.spool.batch import Batch, OpenBatch
    from eventpub.sidecar.spool.spool import Spool

logger = logging.getLogger(__name__)

_MAX_SEALING = 4  # batches received and not yet sealed; with more, wait for the disk


class BatchFiles:
    """Makes and seals the batch files of a spool.

    Args:
        spool: where they are.
        on_batch: called with each sealed batch.
        stage: where making and sealing is noted.

    Attributes:
        trouble: why the last file could not be made, or the last batch not be sealed; empty if they could.
    """

    def __init__(self, spool: Spool, on_batch: Callable[[Batch], None], stage: Stage) -> None:
        self._spool = spool
        self._on_batch = on_batch
        self._stage = stage
        self._threads = start_threads(2)  # one seals, one makes the next file
        self._sealing: set[gevent.Greenlet[[OpenBatch], None]] = set()
        self._stopping = Event()
        self._limit = LogLimit(logger)
        self.trouble = ""

    def make(self, queue: MessageQueue, body_limit_bytes: int) -> OpenBatch | None:
        """Return a file for the messages of a queue; None if it cannot be made now."""
        try:
            with self._stage.doing("making a batch file"):
                batch = call_in(self._threads, self._create, body_limit_bytes, queue.max_message_size)
        except (OSError, MemoryError) as error:
            self.failed(error)
            return None
        self.trouble = ""
        return batch

    def seal(self, batch: OpenBatch) -> None:
        """Have a batch sealed, and given to `on_batch`, without waiting for it."""
        self._spool.unsealed_bytes += batch.state.offset
        greenlet = gevent.spawn(self._seal_until_done, batch)
        self._sealing.add(greenlet)
        greenlet.link(self._sealing.discard)

    def wait_for_seal(self) -> bool:
        """Wait a second for one of too many batches to be sealed; return whether there were too many."""
        if len(self._sealing) < _MAX_SEALING:
            return False
        gevent.wait(list(self._sealing), timeout=RETRY_SECONDS, count=1)
        return True

    def failed(self, error: Exception) -> None:
        """Note and log why a file cannot be used now."""
        self.trouble = explain_error(error)
        kind = {"kind": error.strerror if isinstance(error, OSError) else type(error).__name__}
        self._limit.log(logging.ERROR, "a batch file cannot be used", {"error": self.trouble}, kind=kind)

    def finish(self) -> None:
        """Wait until all is sealed; what cannot be sealed now is left to the next start."""
        self._stopping.set()
        gevent.joinall(list(self._sealing))
        self._limit.tell_left_out(at_once=True)

    def close(self) -> None:
        """End the threads."""
        end_threads(self._threads)

    def _create(self, body_limit_bytes: int, message_size_bytes: int) -> OpenBatch:
        return self._spool.create(body_limit_bytes=body_limit_bytes, message_size_bytes=message_size_bytes)

    def _seal_until_done(self, batch: OpenBatch) -> None:
        sealed = self._try_to_seal(batch)
        self._spool.unsealed_bytes -= batch.state.offset
        if sealed is not None:
            self._spool.received(sealed)
            self._on_batch(sealed)

    def _try_to_seal(self, batch: OpenBatch) -> Batch | None:
        while True:
            try:
                with self._stage.doing("sealing a batch"):
                    return call_in(self._threads, self._spool.seal, batch)
            except (OSError, MemoryError, SpoolError) as error:
                self.failed(error)
                if self._stopping.wait(RETRY_SECONDS):
                    self._spool.leave_open(batch)
                    return None
