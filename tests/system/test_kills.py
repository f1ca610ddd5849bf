"""Killed at random instants: what was accepted is stored, once and unaltered, and nothing else is."""

from __future__ import annotations

import collections
import json
import os
import random
import threading
import time
from pathlib import Path

from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue

KILLS = int(os.environ.get("EVENTPUB_KILLS", "60"))


class Producer(threading.Thread):
    """Puts numbered events as fast as the queue takes them, and remembers which it took."""

    def __init__(self, queue: MessageQueue) -> None:
        super().__init__()
        self.accepted: list[bytes] = []
        self.stopping = threading.Event()
        self._queue = queue

    def run(self) -> None:
        while not self.stopping.is_set():
            event = b'{"name":"kill","n":%d,"pad":"%s"}' % (
                len(self.accepted),
                b"x" * (len(self.accepted) * 37 % 900),
            )
            if self._queue.send(event):
                self.accepted.append(event)
            else:
                self._queue.wait_writable(0.1)


def test_killed_at_any_instant_loses_repeats_and_alters_nothing(
    tmp_path: Path, nursery: Nursery, queue_name: str
) -> None:
    """Often before it has recovered from the last kill; `make soak` does it a thousand times."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    instants = random.Random(seed)
    with (
        CollectorProcess(tmp_path, nursery=nursery) as collector,
        MessageQueue.open(queue_name, max_messages=10, max_message_size=1024) as queue,
    ):
        sidecar = NurserySidecar(
            nursery,
            tmp_path,
            queue_name,
            collector.port,
            collector_version="2j",
            batch_max_age="20 ms",
            max_message_size="1024",
        )
        producer = Producer(queue)
        producer.start()
        try:
            for _ in range(KILLS):
                time.sleep(instants.uniform(0, 0.12))  # the instant is what is random, nothing is awaited
                sidecar.kill()
                sidecar.process.wait()
                sidecar.launch()
            sidecar.kill()
            sidecar.process.wait()
            sidecar.start()
        finally:
            producer.stopping.set()
            producer.join()
            wait_until(lambda: queue.depth() == 0, "the queue is empty")
            assert sidecar.stop() == 0
    stored = collections.Counter(
        json.dumps(row["event"], separators=(",", ":")).encode() for row in collector.events()
    )
    assert sidecar.batches() == sidecar.dead_letters() == []
    assert stored == collections.Counter(producer.accepted)
    assert len(producer.accepted) > KILLS
