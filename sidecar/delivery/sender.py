"""Stage 4: sealed batch -> signed request -> answer -> what next.

One greenlet, `Sender.run`, starts attempts as the gate admits them; each attempt is a greenlet of its own.
What follows from its answer is done by `FollowUp`.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from gevent.event import Event
from gevent.pool import Group

from eventpub.sidecar.spool import records

from .backoff import Backoff
from .dispatch import Contents, Dispatcher
from .follow_up import FollowUp
from .gate import Gate
from .outbox import RETRY_DISK_SECONDS, Outbox, Slow
from .overflow import Victim, name_victim
from .pack import PythonPacker, compiled_packer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gevent

    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.spool.batch import Batch
    from eventpub.sidecar.spool.spool import Spool
    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .follow_up import Stake


class Sender:
    """Delivers the batches of one spool.

    Args:
        spool: where batches are read, split and removed.
        config: the collector, the key, the limits.
        telemetry: the books.
    """

    def __init__(self, spool: Spool, config: SidecarConfig, telemetry: Telemetry) -> None:
        self._spool = spool
        self._telemetry = telemetry
        self._outbox = Outbox()
        self._attempts = Group()
        self._changed = Event()
        self._deadline: float | None = None
        self._crash: BaseException | None = None
        self._packer = compiled_packer() or PythonPacker()
        self._follow_up = FollowUp(spool, telemetry, self._outbox)
        self._stage = telemetry.progress.deliver
        self._slow = 0  # attempts in flight at batches that timed out before
        self._use(config)

    @property
    def in_flight(self) -> int:
        """How many attempts there are right now."""
        return len(self._attempts)

    @property
    def allowed(self) -> int:
        """How many there may be."""
        return self._gate.allowed

    def seconds_to_attempt(self) -> float | None:
        """Return in how many seconds the next may start; None if nothing waits, or one in flight ends first."""
        waits = (self._gate.seconds_to_open(), self._outbox.seconds_to_next(self._allow_slow()))
        return None if None in waits else max(wait for wait in waits if wait is not None)

    def configure(self, config: SidecarConfig) -> None:
        """Use another configuration from the next attempt on."""
        self._dispatcher.close()
        self._use(config)
        self._outbox.hurry()
        self._changed.set()

    def _use(self, config: SidecarConfig) -> None:
        self._config = config
        self._dispatcher = Dispatcher(config, self._telemetry)
        self._follow_up.config = config
        self._gate = Gate(
            config.publisher_concurrency,
            Backoff(config.retry_min_seconds, config.retry_max_seconds),
            randomness=random.Random(),  # noqa: S311, jitter need not be secret
        )

    def put(self, batch: Batch) -> None:
        """Have a batch delivered, or dropped where the configuration says so and the spool is full."""
        victim = None if self._spool.has_room() else self._name_victim(batch)
        if victim is None or not self._drop(victim):
            self._outbox.put(batch)
            self._changed.set()

    def resume(self, batches: Iterable[Batch]) -> None:
        """Have batches delivered that an earlier process left; none is dropped because there are many."""
        for batch in batches:
            self._outbox.put(batch)
        self._changed.set()

    def make_room(self) -> bool:
        """Tell whether messages may be taken though the spool is full; if so, drop what has to go."""
        if self._config.spool_when_full == "drop_newest":  # it is taken, and dropped once it is sealed
            return True
        victim = self._name_victim(None)
        return victim is not None and self._drop(victim)

    def _name_victim(self, incoming: Batch | None) -> Victim | None:
        return name_victim(self._config.spool_when_full, self._outbox, incoming)

    def _drop(self, victim: Victim) -> bool:
        """Drop a batch; tell whether the disk let it be removed."""
        batch, reason = victim
        try:
            if batch.is_accepted:  # its file could not be removed so far
                self._spool.delivered(batch)
            else:
                self._spool.drop(batch, reason)
        except OSError as error:
            self._telemetry.disk_error(error)
            return False
        self._outbox.discard(batch)
        return True

    def run(self) -> None:
        """Deliver until `finish`, and then what can still be delivered in time.

        Raises:
            Exception: whatever broke an attempt.
        """
        while self._crash is None and not self._is_finished():
            self._changed.clear()
            wait_seconds = self._seconds_to_next()
            if wait_seconds == 0 and (batch := self._outbox.take(self._allow_slow())) is not None:
                self._start(batch)
            else:
                self._changed.wait(wait_seconds)
        self._attempts.kill()
        self._dispatcher.close()
        if self._crash is not None:  # be it of the last attempt there was
            raise self._crash

    def finish(self, timeout_seconds: float) -> None:
        """Have `run` return once all is delivered, or after `timeout_seconds`; the rest stays in the spool."""
        self._deadline = time.monotonic() + timeout_seconds
        self._outbox.hurry()
        self._gate.hurry()
        self._changed.set()

    def _start(self, batch: Batch) -> None:
        is_slow = batch.timeouts > 0
        stake = self._follow_up.enter(self._gate)
        self._slow += is_slow

        def end(attempt: gevent.Greenlet) -> None:
            self._slow -= is_slow
            self._crash = self._crash or attempt.exception
            self._changed.set()

        self._attempts.spawn(self._attempt, batch, stake).link(end)

    def _allow_slow(self) -> Slow:
        """Tell whether a batch that timed out may go: one at a time, and never in the last slot."""
        if self._slow:
            return Slow.NEVER
        if self._gate.has_spare():
            return Slow.NOW
        return Slow.LAST if self._gate.allowed == 1 else Slow.NEVER

    def _is_finished(self) -> bool:
        if self._deadline is None:
            return False
        idle = not self._attempts and not self._outbox
        return idle or time.monotonic() >= self._deadline

    def _seconds_to_next(self) -> float | None:
        wait_seconds = self.seconds_to_attempt()
        if self._deadline is None:
            return wait_seconds
        left_seconds = max(0.001, self._deadline - time.monotonic())
        return left_seconds if wait_seconds is None else min(wait_seconds, left_seconds)

    def _attempt(self, batch: Batch, stake: Stake) -> None:
        if batch.is_accepted:
            stake.gate.leave()
            self._follow_up.finish(batch)
            return
        if batch.causes:
            stake.gate.leave()
            self._follow_up.bury(batch)
            return
        batch.attempts += 1
        try:
            contents = self._read(batch)
            if contents is None:
                stake.gate.leave()
                return
            with self._stage.doing("sending a batch", self._dispatcher.allowed_seconds(contents)):
                answer, verdict = self._dispatcher.dispatch(batch, contents)
            self._follow_up.act(batch, answer, verdict, stake)
        except OSError as error:  # the spool's disk: the batch stays, and the others need not wait
            stake.gate.leave()
            self._telemetry.disk_error(error)
            self._outbox.set_aside(batch, RETRY_DISK_SECONDS)

    def _read(self, batch: Batch) -> Contents | None:
        """Return what is to be sent; None if other batches have replaced this one.

        It is valid until the next call: no other greenlet may run before it is in a payload.
        """
        image = self._spool.read(batch)
        if image is None:
            return None
        packed = self._packer.pack(image)
        header = records.read_header(image)
        if packed and header and packed.events == batch.events:
            return Contents(header, packed)
        self._outbox.put_first(self._spool.vet(batch, records.read_records(image)))
        return None
