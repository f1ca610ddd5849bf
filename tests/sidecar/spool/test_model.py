"""A state machine drives the spool beside a model of three lines: what is held, what is dead, what is gone.

The disk may fail at any change, or the process end without closing anything; then the next one opens the spool.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.disks import FailingDisk

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.receive.loop_python import PythonLoop
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import Batch, OpenBatch
from eventpub.sidecar.spool.dead_letters import Cause
from eventpub.sidecar.spool.errors import SpoolError
from eventpub.sidecar.spool.spool import Spool
from eventpub.sidecar.telemetry.metrics import Telemetry
from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason

LIMITS = {"max_bytes": 1 << 30, "dead_max_bytes": 1500}  # four letters or so
ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT]


def faults(changes: int) -> st.SearchStrategy[tuple[int, int] | None]:
    """Draw at which of an operation's `changes` the disk fails, and how; None for a disk that does not."""
    return st.none() | st.tuples(st.integers(1, changes), st.sampled_from(ERRORS))


class SpoolModel(RuleBasedStateMachine):
    """`held` events must be in a batch or in a file left open, `dead` ones in a letter; `gone` ones may be."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="eventpub-model-"))
        self.numbers = itertools.count()
        self.queue = MessageQueue.open(f"model-{os.getpid()}", max_messages=10, max_message_size=128)
        self.held: set[bytes] = set()
        self.dead: set[bytes] = set()
        self.gone: set[bytes] = set()
        self.unsealed: list[OpenBatch] = []
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.unlink()
            self.queue.close()
            shutil.rmtree(self.folder)

    def open(self) -> None:
        self.telemetry = Telemetry()
        self.disk = FailingDisk()
        self.spool = Spool(
            self.folder / "s", "q", fsync=True, telemetry=self.telemetry, disk=self.disk, **LIMITS
        )
        self.known: list[Batch] = list(self.spool.recovered)

    @contextlib.contextmanager
    def fault(self, fault: tuple[int, int] | None) -> Iterator[None]:
        """Let the disk fail within the block, which may raise for it and for nothing else."""
        if fault is not None:
            self.disk.fail_at(*fault)
        with contextlib.suppress(OSError):
            yield
        self.disk.mend()

    def events_of(self, batch: Batch) -> list[bytes]:
        return records.read_records(batch.path.read_bytes()).events

    @rule(count=st.integers(1, 9), fault=faults(5))
    def receive(self, count: int, fault: tuple[int, int] | None) -> None:
        events = [b'{"n":%d}' % next(self.numbers) for _ in range(count)]
        with self.fault(fault):
            opened = self.spool.create(body_limit_bytes=2048, message_size_bytes=128)
            opened.state.queue_fd = self.queue.fd
            for event in events:
                self.queue.send(event)
            PythonLoop().receive(opened.state, opened.memory)
            self.held.update(events)
            self.unsealed.append(opened)
            self.seal_one()

    @rule()
    def seal_what_could_not_be_sealed(self) -> None:
        while self.unsealed:
            self.seal_one()

    def seal_one(self) -> None:
        sealed = self.spool.seal(self.unsealed[0])
        self.unsealed.pop(0)
        assert sealed is not None
        self.spool.received(sealed)
        self.known.append(sealed)

    @rule(place=st.integers(0, 50), fault=faults(1))
    def deliver(self, place: int, fault: tuple[int, int] | None) -> None:
        if self.known:
            batch = self.known[place % len(self.known)]
            events = self.events_of(batch)
            with self.fault(fault):
                self.spool.delivered(batch)
                self.known.remove(batch)
                self.held.difference_update(events)
                self.gone.update(events)

    @rule(place=st.integers(0, 50), fault=faults(1))
    def drop(self, place: int, fault: tuple[int, int] | None) -> None:
        if self.known:
            batch = self.known[place % len(self.known)]
            events = self.events_of(batch)
            with self.fault(fault):
                self.spool.drop(batch, DropReason.SPOOL_FULL_OLDEST)
                self.known.remove(batch)
                self.held.difference_update(events)

    @rule(place=st.integers(0, 50), bad=st.integers(0, 20), fault=faults(18))
    def split(self, place: int, bad: int, fault: tuple[int, int] | None) -> None:
        if not self.known:
            return
        batch = self.known[place % len(self.known)]
        contents = records.read_records(batch.path.read_bytes())
        bad %= len(contents.events)
        groups = [group for group in (range(bad), range(bad + 1, len(contents.events))) if group]
        with self.fault(fault):
            parts = self.spool.split(batch, contents, groups, {bad: Cause(DeadReason.REJECTED, 400)})
            self.replace(batch, parts, contents.events)

    @rule(place=st.integers(0, 50), fault=faults(18))
    def bury(self, place: int, fault: tuple[int, int] | None) -> None:
        waiting = [batch for batch in self.known if batch.causes]
        if waiting:
            batch = waiting[place % len(waiting)]
            events = self.events_of(batch)
            with self.fault(fault):
                self.replace(batch, self.spool.bury(batch), events)

    def replace(self, batch: Batch, parts: list[Batch], events: list[bytes]) -> None:
        """Note what took the place of a batch: what is in none of the parts is dead."""
        died = set(events).difference(*map(self.events_of, parts))
        self.known.remove(batch)
        self.known.extend(parts)
        self.held -= died
        self.dead |= died

    @rule()
    def make_room_among_the_dead_letters(self) -> None:
        for path in (self.folder / "s" / "q" / "dead").iterdir():
            path.unlink()
        self.dead = {json.loads(path.read_text())["event"].encode() for path in self.letters()}

    def letters(self) -> list[Path]:
        return [*self.folder.glob("s/q/dead/*.json"), *self.folder.glob("s/q/*/*.split/*.json")]

    @rule(fault=faults(12))
    def end_without_a_word_and_start_again(self, fault: tuple[int, int] | None) -> None:
        self.spool.close()  # all that a dead process closes: the lock
        self.unsealed.clear()
        self.disk = FailingDisk()
        if fault is not None:
            self.disk.fail_at(*fault)
            with contextlib.suppress(SpoolError):
                Spool(
                    self.folder / "s", "q", fsync=True, telemetry=Telemetry(), disk=self.disk, **LIMITS
                ).close()
        self.open()
        assert {event for batch in self.known for event in self.events_of(batch)} == self.held

    @invariant()
    def every_held_event_is_in_exactly_one_batch(self) -> None:
        if hasattr(self, "spool"):
            files = Counter(event for batch in self.known for event in self.events_of(batch))
            files.update(
                event
                for opened in self.unsealed
                for event in records.read_records(opened.path.read_bytes()).events
            )
            assert files == Counter(self.held)

    @invariant()
    def every_dead_event_has_its_letter(self) -> None:
        if hasattr(self, "spool"):
            letters = (json.loads(path.read_text()) for path in self.letters())
            assert {letter["event"].encode() for letter in letters} == self.dead

    @invariant()
    def books_balance(self) -> None:
        if hasattr(self, "spool"):
            self.telemetry.spooled = self.spool.events
            assert self.telemetry.ledger().unaccounted == 0
            assert self.spool.events == sum(batch.events for batch in self.known)
            assert self.spool.size_bytes == sum(batch.path.stat().st_size for batch in self.known)


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
