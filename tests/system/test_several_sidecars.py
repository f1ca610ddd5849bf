"""Several sidecars on one queue, and several queues on one host: real processes, one spool folder."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.nursery import Nursery, NurserySidecar
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.spool.slot import MAX_SLOTS, take_slot

EVENT = '{"queue":"%s","n":%d}'


class Launched(NurserySidecar):
    """One whose start is not waited for."""

    def start(self, *_arguments: str) -> None:
        self.launch()


class Fleet:
    """A collector, and as many queues and sidecars as a test wants, with one spool."""

    def __init__(self, folder: Path, nursery: Nursery, stack: contextlib.ExitStack, queue_name: str) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.collector = stack.enter_context(CollectorProcess(folder, nursery=nursery))
        self.accepted: Counter[str] = Counter()
        self.queues: dict[str, MessageQueue] = {}
        self._stack = stack
        self._nursery = nursery
        self._sidecars = 0
        self.queue(queue_name)
        self.name = queue_name

    def queue(self, name: str) -> str:
        self.queues[name] = MessageQueue.open(name, max_messages=10, max_message_size=1024)
        self._stack.callback(self.queues[name].close)
        self._stack.callback(self.queues[name].unlink)
        return name

    def sidecar(self, queue_name: str | None = None, *, wait: bool = True, **keys: str) -> NurserySidecar:
        self._sidecars += 1
        folder = self.folder / f"sidecar-{self._sidecars}"
        folder.mkdir()
        made = NurserySidecar if wait else Launched
        started = made(
            self._nursery, folder, queue_name or self.name, self.collector.port, collector_version="2j",
            max_message_size="1024", spool_dir=str(self.spool), **{"batch_max_age": "20 ms", **keys},
        )  # fmt: skip
        self._stack.callback(started.kill)
        return started

    def put(self, count: int, queue_name: str | None = None) -> None:
        name = queue_name or self.name
        for _ in range(count):
            event = EVENT % (name, len(self.accepted))
            wait_until(lambda e=event: self.queues[name].send(e.encode()), "the queue has room")
            self.accepted[event] += 1

    def stored(self) -> Counter[str]:
        return Counter(json.dumps(row["event"], separators=(",", ":")) for row in self.collector.events())

    def check(self) -> None:
        wait_until(lambda: self.stored().total() >= self.accepted.total(), "all is stored")
        assert self.stored() == self.accepted

    def taken(self, sidecar: NurserySidecar) -> str:
        """Return the slot a running sidecar says it has."""
        return sidecar.log().partition(f"spool={self.spool / self.name}/")[2].partition(" ")[0]


@pytest.fixture
def rig(tmp_path: Path, nursery: Nursery, queue_name: str) -> Iterator[Fleet]:
    with contextlib.ExitStack() as stack:
        yield Fleet(tmp_path, nursery, stack, queue_name)


def test_two_sidecars_on_one_queue_share_its_events(rig: Fleet) -> None:
    pair = [rig.sidecar(), rig.sidecar()]
    assert [rig.taken(sidecar) for sidecar in pair] == ["0", "1"]
    for halted in pair:  # which of two takes a message is the kernel's affair; one that stands still takes none
        halted.pause()
        rig.put(50)
        rig.check()
        halted.signal(signal.SIGCONT)
    rig.put(500)
    rig.check()
    assert [sidecar.stop() for sidecar in pair] == [0, 0]
    ledgers = [sidecar.ledger() for sidecar in pair]
    assert sum(ledger["received"] for ledger in ledgers) == 600
    assert min(ledger["received"] for ledger in ledgers) > 0
    assert [ledger["unaccounted"] for ledger in ledgers] == [0, 0]


def test_sidecars_that_start_at_once_take_a_slot_each_and_adopt_each_batch_once(rig: Fleet) -> None:
    """Five rounds: six start in the same instant and find what five dead ones left."""
    rig.collector.set_faults([{"status": 503, "times": "forever"}])
    many = [rig.sidecar(wait=False) for _ in range(6)]
    for _ in range(5):
        for sidecar in many:
            wait_until(lambda s=sidecar: "started queue=" in s.log(), "it starts")
        assert len({rig.taken(sidecar) for sidecar in many}) == len(many)
        rig.put(30)
        for sidecar in many:
            sidecar.kill()
        for sidecar in many:
            sidecar.process.wait()
        for sidecar in many:
            sidecar.launch()
    for sidecar in many:
        wait_until(lambda s=sidecar: "started queue=" in s.log(), "it starts")
    rig.collector.set_faults([])
    rig.check()
    assert [sidecar.stop() for sidecar in many] == [0] * 6
    assert sum(sidecar.ledger()["unaccounted"] for sidecar in many) == 0


def test_the_slot_of_a_dead_sidecar_is_adopted_while_another_works(rig: Fleet) -> None:
    rig.collector.set_faults([{"status": 503, "times": "forever"}])
    dies, works = rig.sidecar(), rig.sidecar()
    rig.put(60)
    dies.kill()
    dies.process.wait()
    waiting = {path: path.read_bytes() for path in (rig.spool / rig.name / "1").glob("*.batch")}
    starts = rig.sidecar()
    assert rig.taken(starts) == "0"
    assert all(path.read_bytes() == image for path, image in waiting.items()), "the other's are left alone"
    rig.collector.set_faults([])
    rig.check()
    assert [works.stop(), starts.stop()] == [0, 0]
    assert works.ledger()["unaccounted"] == starts.ledger()["unaccounted"] == 0


def test_a_slot_stays_taken_when_its_sidecar_hangs(rig: Fleet) -> None:
    hangs = rig.sidecar()
    hangs.pause()
    starts = rig.sidecar()
    assert rig.taken(starts) == "1"
    rig.put(20)
    rig.check()
    hangs.signal(signal.SIGCONT)


def test_a_sidecar_that_finds_all_slots_taken_says_so_and_ends(rig: Fleet) -> None:
    with contextlib.ExitStack() as locks:
        for number in range(MAX_SLOTS):
            slot = take_slot(rig.spool / rig.name / str(number))
            assert slot is not None
            locks.callback(slot.release)
        refused = rig.sidecar(wait=False)
        assert refused.process.wait() != 0
        assert f"all {MAX_SLOTS} slots are in use; stop a sidecar of this queue" in refused.log()
    rig.put(5)
    rig.sidecar()
    rig.check()


def test_queues_that_share_a_spool_folder_keep_to_themselves(rig: Fleet) -> None:
    names = [rig.name, rig.queue(f"{rig.name}-b"), rig.queue(f"{rig.name}-c")]
    sidecars = [rig.sidecar(name) for name in names]
    for name in names:
        rig.put(100, name)
    for sidecar in sidecars:
        sidecar.kill()
        sidecar.process.wait()
        sidecar.start()
    for name in names:
        rig.put(100, name)
    rig.check()
    for sidecar, name in zip(sidecars, names, strict=True):
        assert sidecar.stop() == 0
        assert sidecar.ledger()["unaccounted"] == 0
        assert {path.name for path in (rig.spool / name).iterdir()} == {"0", "dead", "damaged", "reserve"}


def test_sidecars_of_one_queue_killed_at_random_lose_and_repeat_nothing(rig: Fleet) -> None:
    """Each takes over what the other left, while the other takes over what it left before."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    instants = random.Random(seed)
    pair = [rig.sidecar(), rig.sidecar()]
    for _ in range(30):
        sidecar = instants.choice(pair)
        sidecar.kill()
        sidecar.process.wait()
        sidecar.launch()
        rig.put(instants.randrange(30))
        time.sleep(instants.uniform(0, 0.03))  # the instant is what is random, nothing is awaited
    rig.check()
    for sidecar in pair:
        wait_until(lambda s=sidecar: "started queue=" in s.log(), "it starts")
        assert sidecar.stop() == 0
        assert sidecar.ledger()["unaccounted"] == 0
