"""The batches that wait to be sent, and which of them is next.

It alternates between the oldest and the newest batch: after an outage the backlog drains, and new events do not
wait behind all of it. A batch that could not be delivered is set aside for a while, so that a batch which makes
the collector fail never blocks the others. One that timed out may hold its slot for as long again, so it is
taken only where `Slow` lets it.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventpub.sidecar.spool.batch import Batch


RETRY_DISK_SECONDS = 2.0  # how soon a failing disk, or one that has no room for a dead letter, is tried again


class Slow(enum.Enum):
    """Whether a batch that timed out may be taken."""

    NOW = "a slot can be spared for it"
    LAST = "if no other waits"
    NEVER = "not before one in flight ends"


class Outbox:
    """Batches in memory by name only; their events stay on the disk.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[Batch] = deque()
        self._slow: deque[Batch] = deque()  # those that timed out, and may be tried again
        self._aside: list[tuple[float, int, Batch]] = []
        self._tie = itertools.count()
        self._newest_next = False

    def __len__(self) -> int:
        return len(self._ready) + len(self._slow) + len(self._aside)

    def put(self, batch: Batch) -> None:
        """Add the newest batch."""
        self._ready.append(batch)

    def put_first(self, batches: Iterable[Batch]) -> None:
        """Add batches that go before all others, unless they wait for room among the dead letters."""
        for batch in batches:
            self.set_aside(batch, RETRY_DISK_SECONDS if batch.causes else 0)

    def set_aside(self, batch: Batch, seconds: float) -> None:
        """Add a batch that must not be taken for `seconds`."""
        heapq.heappush(self._aside, (self._clock() + seconds, next(self._tie), batch))

    def take(self, slow: Slow = Slow.NOW) -> Batch | None:
        """Remove and return the next batch; None if none may be sent now."""
        self._call_back()
        if self._slow and (slow is Slow.NOW or (slow is Slow.LAST and not self._ready)):
            return self._slow.popleft()
        if not self._ready:
            return None
        self._newest_next = not self._newest_next
        return self._ready.popleft() if self._newest_next else self._ready.pop()

    def oldest(self) -> Batch | None:
        """Return the batch that was made first, set aside or not; None if there is none.

        Those that can be taken stand in no such order, since some were set aside before.
        """
        waiting = [*self._ready, *self._slow, *(batch for _, _, batch in self._aside)]
        return min(waiting, key=lambda batch: batch.sequence, default=None)

    def discard(self, batch: Batch) -> None:
        """Remove a batch, if it waits here."""
        for ready in (self._ready, self._slow):
            if batch in ready:
                ready.remove(batch)
                return
        self._aside = [entry for entry in self._aside if entry[2] is not batch]
        heapq.heapify(self._aside)

    def hurry(self) -> None:
        """Let all batches that were set aside be taken now."""
        for _, _, batch in sorted(self._aside, reverse=True):
            self._admit(batch)
        self._aside.clear()

    def hurry_refused(self) -> None:
        """Let the batches that were refused be taken now; not those that wait for room as dead letters."""
        now = self._clock()
        if any(_is_doubted(batch) for _, _, batch in self._aside):
            self._aside = [(now if _is_doubted(batch) else at, tie, batch) for at, tie, batch in self._aside]
            heapq.heapify(self._aside)

    def seconds_to_next(self, slow: Slow = Slow.NOW) -> float | None:
        """Return in how many seconds `take` will have something: 0 now, None never."""
        self._call_back()
        if self._ready or (self._slow and slow is not Slow.NEVER):
            return 0.0
        if slow is not Slow.NEVER:
            due = self._aside[0][0] if self._aside else None
        else:
            due = min((at for at, _, batch in self._aside if not batch.timeouts), default=None)
        return None if due is None else max(0.0, due - self._clock())

    def _call_back(self) -> None:
        """Let those be taken whose time has come."""
        while self._aside and self._aside[0][0] <= self._clock():
            self._admit(heapq.heappop(self._aside)[2])

    def _admit(self, batch: Batch) -> None:
        if batch.timeouts:
            self._slow.append(batch)
        else:
            self._ready.appendleft(batch)


def _is_doubted(batch: Batch) -> bool:
    return batch.is_refused and not batch.causes
