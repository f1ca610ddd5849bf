"""Stage 2: kernel queue -> open batch file -> sealed batch; never waits for the network.

One greenlet runs `Receiver.run`. The waiting itself happens in a native thread, inside one call of
`Loop.receive` a batch, so no work of the hub, however long, keeps messages in a queue that may hold only ten.
The next batch file is made while one fills, and a full one is sealed while the next fills.

The receiver stops taking messages while the spool is full or the disk fails: the kernel queue then fills, and
`put` tells the application.

When the queue was removed, the receiver goes on with the one that has the name now, or makes it, and empties
the old one until nothing can come to it any more: see `eventpub.queue.removal`, and `removed` here.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from eventpub.errors import QueueError, QueueLimitError
from eventpub.process.threads import call_in, end_threads, start_threads
from eventpub.sidecar.spool.disk import RETRY_SECONDS

from .files import BatchFiles
from .headway import Headway, Pause
from .loop import Ended, compiled_loop, plan_gathering
from .loop_python import PythonLoop
from .removed import RemovedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.queue.message_queue import MessageQueue
    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.spool.batch import Batch, OpenBatch
    from eventpub.sidecar.spool.spool import Spool
    from eventpub.sidecar.telemetry.progress import Progress

    from .source import Source

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25  # how soon a removed queue is noticed if no end mark tells; 2 us each
_ENLARGE_SECONDS = 2.0  # how often to try to enlarge a queue that had to be too small


class Receiver:
    """Takes messages from one queue into the spool.

    Args:
        source: opens the queue that messages come from.
        spool: where they go.
        config: batch.max_size and batch.max_age; replace the attribute to change them from the next batch on.
        on_batch: called with each sealed batch.
        make_room: called when the spool is full; returns whether it made room.
        progress: where receiving and sealing are noted.

    Attributes:
        pause: why no messages are taken, and since when in monotonic seconds; None while they are.
        filling: the batch that is being received into.
    """

    def __init__(
        self,
        source: Source,
        spool: Spool,
        config: SidecarConfig,
        *,
        on_batch: Callable[[Batch], None],
        make_room: Callable[[], bool],
        progress: Progress,
    ) -> None:
        self.config = config
        self.queue = source.open()
        self._source = source
        self._removed: list[RemovedSource] = []
        self._refusal = ""
        self._spool = spool
        self._files = BatchFiles(spool, on_batch, progress.seal)
        spool.expect(
            body_limit_bytes=config.batch_max_size_bytes, message_size_bytes=self.queue.max_message_size
        )
        self._make_room = make_room
        self._loop = compiled_loop() or PythonLoop()
        self._progress = progress
        self.pause: Pause | None = None
        self.filling: OpenBatch | None = None
        self._headway = Headway(progress.receive)
        self._threads = start_threads(1)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = Event()

    def run(self) -> None:
        """Receive until `stop`, then take what is left in the queue, and seal it."""
        watching = gevent.spawn(self._watch)
        batch: OpenBatch | None = None
        while not self._stopping.is_set():
            batch = self._look_after_queue(batch)
            if not (self._spool.has_room() or self._make_room()):
                self._pause(
                    "the spool is full, so no messages are taken; raise spool.max_size and restart, or "
                    "repair the collector"
                )
                continue
            if self._files.wait_for_seal():
                continue
            self._removed = [removed for removed in self._removed if not removed.finish()]
            if self.queue.fd < 0:
                self._stopping.wait(_LOOK_SECONDS)
                continue
            batch = batch or self._make_file(self.queue)
            if batch is None:
                self._pause(f"no batch file can be created, so no messages are taken: {self._files.trouble}")
                continue
            following = gevent.spawn(self._make_file, self.queue)
            ended = self._fill(batch, self.queue, wait=True)
            self._files.seal(batch)
            batch = following.get()
            if ended is Ended.CUT:
                self._pause(
                    "another program cut the batch file, or its disk does not keep what it reserved, so no "
                    "messages are taken for a moment"
                )
        watching.kill()
        batch = self._look_after_queue(batch)
        for removed in self._removed:
            removed.leave(self.queue)
        self._drain(batch)

    def look_at_progress(self) -> None:
        """Note whether messages wait that are not taken; call it a few times a second."""
        is_paused = self.pause is not None or self._stopping.is_set()
        self._headway.look(self.queue, self.filling, is_paused=is_paused)

    def stop(self) -> None:
        """Tell `run` to finish; it returns once everything received is sealed."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """Close the filling batch, so that a changed configuration applies to the next."""
        os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Close the queue, whose messages stay, and end the threads."""
        self.queue.close()
        self._files.close()
        end_threads(self._threads)

    def _watch(self) -> None:
        """Wake the receiver when there is something to see to beside the queue itself."""
        enlarge_at = time.monotonic() + _ENLARGE_SECONDS
        while True:
            gevent.sleep(_LOOK_SECONDS)
            if time.monotonic() >= enlarge_at:
                enlarge_at = time.monotonic() + _ENLARGE_SECONDS
                self._source.enlarge()
            if self._removed or self._needs_queue():
                self.wake()

    def _needs_queue(self) -> bool:
        """Return whether the queue was removed, or could not be opened."""
        return self.queue.fd < 0 or self.queue.is_orphaned()

    def _look_after_queue(self, batch: OpenBatch | None) -> OpenBatch | None:
        """Go on with another queue if this one was removed; return the batch that fits the queue."""
        if not (self._needs_queue() and self._follow()) or batch is None:
            return batch
        self._files.seal(batch)  # it was made for the other queue's message size
        return self._make_file(self.queue)

    def _follow(self) -> bool:
        """Go on with the queue that has the name now; return whether it could be opened."""
        try:
            queue = self._open_successor()
        except QueueError as error:
            if str(error) != self._refusal:
                logger.error("the queue cannot be created again: %s", error)  # noqa: TRY400, no traceback
            self._refusal = str(error)
            if self.queue.fd < 0:
                self._note_pause(f"the queue cannot be created again: {error}")
            return False
        self._refusal = ""
        logger.warning("the queue was removed; creating it again queue=%s", queue.name)
        if self.queue.fd >= 0:
            self._removed.append(RemovedSource(self.queue, self._empty))
        self.queue = queue
        return True

    def _open_successor(self) -> MessageQueue:
        """Open the queue that has the name now, or make it.

        Removed queues take their part of RLIMIT_MSGQUEUE until all who have them open have closed them. If that
        is in the way, this process closes them first; if others hold it, the new one is smaller for a while.
        """
        try:
            return self._source.open(or_less=False)
        except QueueLimitError:
            self._removed = [removed for removed in self._removed if not removed.finish(at_once=True)]
            if self.queue.fd >= 0:
                RemovedSource(self.queue, self._empty).finish(at_once=True)
        return self._source.open()

    def _empty(self, queue: MessageQueue) -> bool:
        """Take what is in a removed queue; return whether that is done."""
        while self._spool.has_room() and (batch := self._make_file(queue)):
            ended = self._fill(batch, queue, wait=False)
            self._files.seal(batch)
            if ended is Ended.EMPTY:
                return True
        return False

    def _drain(self, batch: OpenBatch | None) -> None:
        deadline = time.monotonic() + self.config.shutdown_timeout_seconds
        while batch is not None and self.queue.fd >= 0:
            ended = self._fill(batch, self.queue, wait=False)
            self._files.seal(batch)
            more = ended is Ended.FULL and self._spool.has_room() and time.monotonic() < deadline
            batch = self._make_file(self.queue) if more else None
        self._files.finish()

    def _pause(self, why: str) -> None:
        if self.pause is None or why != self.pause.why:
            logger.error("receiving is paused: %s queue=%s", why, self.queue.name)
        self._note_pause(why)
        self._stopping.wait(RETRY_SECONDS)

    def _note_pause(self, why: str) -> None:
        self.pause = Pause(why, self.pause.since if self.pause else time.monotonic())
        self._progress.receive.did("paused")

    def _make_file(self, queue: MessageQueue) -> OpenBatch | None:
        return self._files.make(queue, self.config.batch_max_size_bytes)

    def _fill(self, batch: OpenBatch, queue: MessageQueue, *, wait: bool) -> Ended:
        if self.pause is not None:
            paused_seconds = time.monotonic() - self.pause.since
            logger.info("receiving again queue=%s paused_seconds=%.0f", queue.name, paused_seconds)
        self.pause = None
        try:
            batch.receive_as(self.config.collector_version)
        except OSError as error:
            self._files.failed(error)
            return Ended.CUT
        state = batch.state
        state.queue_fd = queue.fd
        state.wake_fd = self._wake_fd
        state.wait = wait
        state.gather, state.max_pause_ns = plan_gathering(queue.max_messages)
        state.max_age_ns = int(self.config.batch_max_age_seconds * 1e9)
        self.filling = batch
        ended = call_in(self._threads, self._loop.receive, state, batch.memory)
        self.filling = None
        self._progress.receive.did("filled a batch" if state.events else "looked for messages")
        if ended is Ended.WOKEN:
            os.eventfd_read(self._wake_fd)
        return ended
