"""Whether messages are taken: why not, if that is meant, and whether the thread that takes them hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from eventpub.process.progress import Stage, Step
    from eventpub.queue.message_queue import MessageQueue
    from eventpub.sidecar.spool.batch import OpenBatch


class Pause(NamedTuple):
    """Why no messages are taken, and since when in monotonic seconds."""

    why: str
    since: float


class Headway:
    """Looks at the thread from outside, since it is in one call for as long as a batch fills.

    Args:
        stage: where it is noted if messages wait and none is taken.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._mark: tuple[int, int] | None = None
        self._stuck: Step | None = None

    def look(self, queue: MessageQueue, filling: OpenBatch | None, *, is_paused: bool) -> None:
        """Compare with the last look; call it a few times a second.

        Args:
            queue: where messages come from.
            filling: the batch they go into; None between two, and for ever if what makes the next one is lost.
            is_paused: whether none are to be taken.
        """
        mark = None
        if not is_paused and queue.fd >= 0 and queue.depth():
            mark = (filling.sequence, filling.state.offset) if filling is not None else (-1, -1)
        if mark is None or mark != self._mark:
            if self._stuck is not None:
                self._stage.leave(self._stuck)
            self._stuck = None
        elif self._stuck is None:
            self._stuck = self._stage.doing("taking a message")
            self._stage.enter(self._stuck)
        self._mark = mark
