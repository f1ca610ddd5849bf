"""The batches that wait to be sent, and which of them is next.

Takes alternate between the oldest and the newest: after an outage the backlog drains, and fresh events do not
wait behind all of it. A batch that was tried and could not be delivered is set aside for a while, so one that
the collector chokes on never keeps the others from going.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.sidecar.spool.batch import Batch


class Outbox:
    """Batches in memory by name only; their events stay on the disk.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[Batch] = deque()
        self._aside: list[tuple[float, int, Batch]] = []
        self._tie = itertools.count()
        self._newest_next = False

    def __len__(self) -> int:
        return len(self._ready) + len(self._aside)

    def put(self, batch: Batch) -> None:
        """Add the newest batch."""
        self._ready.append(batch)

    def set_aside(self, batch: Batch, seconds: float) -> None:
        """Add a batch that is not to be taken before `seconds` have passed."""
        heapq.heappush(self._aside, (self._clock() + seconds, next(self._tie), batch))

    def take(self) -> Batch | None:
        """Remove and return the next batch; None if none may be sent now."""
        while self._aside and self._aside[0][0] <= self._clock():
            self._ready.appendleft(heapq.heappop(self._aside)[2])
        if not self._ready:
            return None
        self._newest_next = not self._newest_next
        return self._ready.popleft() if self._newest_next else self._ready.pop()

    def take_oldest(self) -> Batch | None:
        """Remove and return the batch that was made first, set aside or not; None if there is none.

        Those that can be taken stand in no such order, since some were set aside before.
        """
        waiting = [*self._ready, *(batch for _, _, batch in self._aside)]
        if not waiting:
            return None
        oldest = min(waiting, key=lambda batch: batch.sequence)
        if oldest in self._ready:
            self._ready.remove(oldest)
        else:
            self._aside = [entry for entry in self._aside if entry[2] is not oldest]
            heapq.heapify(self._aside)
        return oldest

    def hurry(self) -> None:
        """Let all batches that were set aside be taken now."""
        self._ready.extendleft(batch for _, _, batch in sorted(self._aside, reverse=True))
        self._aside.clear()

    def seconds_to_next(self) -> float | None:
        """Return in how many seconds `take` will have something: 0 now, None never."""
        if self._ready:
            return 0.0
        return max(0.0, self._aside[0][0] - self._clock()) if self._aside else None
