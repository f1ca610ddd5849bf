"""What must have become of each event that a queue accepted, however often its sidecar was killed."""

from __future__ import annotations

import base64
import json
from collections import Counter

from eventpub.queue.message_queue import MessageQueue
from support.collector_process import CollectorProcess
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until


class Oracle:
    """Puts events under a mark of its own, and knows where each must be in the end."""

    def __init__(self, queue: MessageQueue, collector: CollectorProcess, mark: str) -> None:
        self.accepted: Counter[str] = Counter()
        self.bad: Counter[bytes] = Counter()
        self._queue = queue
        self._collector = collector
        self._mark = mark

    def put(self, count: int) -> None:
        """Put so many events, and one in their midst that is no UTF-8: the collector refuses its batch."""
        for place in range(count):
            event = json.dumps({"mark": self._mark, "n": len(self.accepted)})
            self._put(event.encode())
            self.accepted[event] += 1
            if place == count // 2:
                bad = b'{"mark":"%s","bad":%d,"text":"\xff"}' % (self._mark.encode(), len(self.bad))
                self._put(bad)
                self.bad[bad] += 1

    def _put(self, message: bytes) -> None:
        wait_until(lambda: self._queue.send(message), "the queue has room")

    def stored(self) -> Counter[str]:
        rows = (json.dumps(row["event"]) for row in self._collector.events())
        return Counter(row for row in rows if f'"mark": "{self._mark}"' in row)

    def check(self, sidecar: SidecarProcess) -> None:
        """Wait until all has arrived, and hold it against what was accepted."""
        wait_until(
            lambda: (
                self._queue.depth() == 0
                and self.stored().keys() >= self.accepted.keys()
                and len(sidecar.dead_letters()) >= len(self.bad)
                and not sidecar.batches()
            ),
            f"all that was accepted has arrived: {self._mark}",
        )
        letters = (json.loads(path.read_text()) for path in sidecar.dead_letters())
        assert Counter(base64.b64decode(letter["event_base64"]) for letter in letters) == self.bad, self._mark
        assert self.stored() == self.accepted, self._mark
        assert sidecar.stop() == 0
        assert (sidecar.ledger()["unaccounted"], sidecar.ledger()["dropped"]) == (0, 0), self._mark
