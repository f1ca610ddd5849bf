"""Stage 4: sealed batch -> signed request -> answer -> what next.

One greenlet, `Sender.run`, starts attempts as the gate admits them; each attempt is a greenlet of its own.
What an answer means for a batch is decided by `judge_answer` alone and carried out here. A batch leaves the
spool by being delivered or split; everything else keeps it.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from gevent.event import Event
from gevent.pool import Group

from eventpub.errors import ConfigError
from eventpub.sidecar.spool import records
from eventpub.sidecar.telemetry.reasons import DropReason
from eventpub.sidecar.telemetry.verdicts import Verdict

from . import compression, payload
from .answer import Answer, judge_answer
from .backoff import Backoff
from .gate import Gate
from .outbox import Outbox
from .pack import Packed, PythonPacker, compiled_packer
from .post import Poster
from .refusal import sort_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gevent

    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.spool.batch import Batch
    from eventpub.sidecar.spool.records import Header
    from eventpub.sidecar.spool.spool import Spool
    from eventpub.sidecar.telemetry.metrics import Telemetry

logger = logging.getLogger(__name__)

_KEY_SETTLED_SECONDS = 0.5  # a program that writes a file in several steps takes less


class _Contents(NamedTuple):
    """What a batch file holds, read and found whole."""

    header: Header
    packed: Packed


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
        self._use(config)

    def configure(self, config: SidecarConfig) -> None:
        """Use another configuration from the next attempt on."""
        self._close_posters()
        self._use(config)
        self._outbox.hurry()
        self._changed.set()

    def _use(self, config: SidecarConfig) -> None:
        self._config = config
        self._posters: dict[str, Poster] = {}  # by version: batches may wait that were received under another
        self._gate = Gate(
            config.publisher_concurrency,
            Backoff(config.retry_min_seconds, config.retry_max_seconds),
            randomness=random.Random(),  # noqa: S311, jitter is no secret
        )
        self._negotiation = compression.Negotiation(config.compression)

    def put(self, batch: Batch) -> None:
        """Have a batch delivered, or dropped where the configuration says so and the spool is full."""
        is_dropped = self._config.spool_when_full == "drop_newest" and not self._spool.has_room()
        if not (is_dropped and self._drop(batch, DropReason.SPOOL_FULL_NEWEST)):
            self._outbox.put(batch)
            self._changed.set()

    def resume(self, batches: Iterable[Batch]) -> None:
        """Have batches delivered that an earlier process left; none is dropped because there are many."""
        for batch in batches:
            self._outbox.put(batch)
        self._changed.set()

    def make_room(self) -> bool:
        """Tell whether messages may be taken though the spool is full; if so, drop what has to go."""
        if self._config.spool_when_full != "drop_oldest":
            return self._config.spool_when_full == "drop_newest"
        batch = self._outbox.take_oldest()
        if batch is None:
            return False
        is_dropped = self._drop(batch, DropReason.SPOOL_FULL_OLDEST)
        if not is_dropped:
            self._outbox.set_aside(batch, 0)
        return is_dropped

    def _drop(self, batch: Batch, reason: DropReason) -> bool:
        """Drop a batch; tell whether the disk let it be removed."""
        try:
            if batch.is_accepted:  # its file could not be removed so far
                self._spool.delivered(batch)
            else:
                self._spool.drop(batch, reason)
        except OSError as error:
            self._telemetry.disk_error(error)
            return False
        return True

    def run(self) -> None:
        """Deliver until `finish`, and then what can still be delivered in time.

        Raises:
            Exception: whatever broke an attempt.
        """
        while self._crash is None and not self._is_finished():
            self._changed.clear()
            wait_seconds = self._seconds_to_next()
            if wait_seconds == 0 and (batch := self._outbox.take()) is not None:
                self._gate.enter()
                self._attempts.spawn(self._attempt, batch, self._gate).link(self._ended)
            else:
                self._changed.wait(wait_seconds)
        self._attempts.kill()
        self._close_posters()
        if self._crash is not None:  # be it of the last attempt there was
            raise self._crash

    def finish(self, timeout_seconds: float) -> None:
        """Have `run` return once all is delivered, or after `timeout_seconds`; the rest stays in the spool."""
        self._deadline = time.monotonic() + timeout_seconds
        self._outbox.hurry()
        self._gate.hurry()
        self._changed.set()

    def _ended(self, attempt: gevent.Greenlet) -> None:
        self._crash = self._crash or attempt.exception
        self._changed.set()

    def _is_finished(self) -> bool:
        if self._deadline is None:
            return False
        idle = not self._attempts and not self._outbox
        return idle or time.monotonic() >= self._deadline

    def _seconds_to_next(self) -> float | None:
        waits = (self._gate.seconds_to_open(), self._outbox.seconds_to_next())
        wait_seconds = None if None in waits else max(wait for wait in waits if wait is not None)
        if self._deadline is None:
            return wait_seconds
        left_seconds = max(0.001, self._deadline - time.monotonic())
        return left_seconds if wait_seconds is None else min(wait_seconds, left_seconds)

    def _attempt(self, batch: Batch, gate: Gate) -> None:
        if batch.is_accepted:
            gate.leave()
            self._finish(batch)
            return
        batch.attempts += 1
        try:
            contents = self._read(batch)
            if contents is None:
                gate.leave()
                return
            codec = self._negotiation.codec()
            answer = self._post(batch, codec, contents)
            self._act(batch, answer, self._verdict(answer, codec), gate)
        except OSError as error:  # the spool's disk: nothing is lost, the batch stays
            self._telemetry.disk_error(error)
            self._outbox.set_aside(batch, gate.failed(attempts=batch.attempts))

    def _read(self, batch: Batch) -> _Contents | None:
        """Return what is to be sent; None if other batches have replaced this one.

        It is valid until the next call: no other greenlet may run before it is in a payload.
        """
        try:
            image = batch.path.read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            self._spool.missing(batch)
            return None
        packed = self._packer.pack(image)
        header = records.read_header(image)
        if packed and header and packed.events == batch.events:
            return _Contents(header, packed)
        self._put_first(self._spool.vet(batch, records.read_records(image)))
        return None

    def _post(self, batch: Batch, codec: compression.Codec, contents: _Contents) -> Answer:
        try:
            key = self._config.signing_key(settled_seconds=_KEY_SETTLED_SECONDS)
        except ConfigError as error:
            return Answer.none("key", str(error), is_sent=False)
        version = contents.header.version or self._config.collector_version
        request = payload.build_payload(
            version,
            contents.packed.joined,
            contents.packed.events,
            batch_id=contents.header.batch_id,
            parents=contents.header.parents,
            attempt=batch.attempts,
            key=key,
            codec=codec,
        )
        started = time.monotonic()
        answer = self._poster(version).post(request)
        self._telemetry.post_finished(time.monotonic() - started)
        return answer

    def _poster(self, version: str) -> Poster:
        config = self._config
        if version not in self._posters:
            self._posters[version] = Poster.of_config(config, version, config.publisher_concurrency)
        return self._posters[version]

    def _close_posters(self) -> None:
        for poster in self._posters.values():
            poster.close()

    def _verdict(self, answer: Answer, codec: compression.Codec) -> Verdict:
        verdict = judge_answer(answer)
        if answer.status is not None:
            self._negotiation.offered(answer.codings)
        if verdict is Verdict.RECODE and not self._negotiation.refused(codec):
            return Verdict.MISCONFIGURED
        return verdict

    def _act(self, batch: Batch, answer: Answer, verdict: Verdict, gate: Gate) -> None:
        self._telemetry.answered(
            verdict,
            batch=batch.path.name,
            events=batch.events,
            attempt=batch.attempts,
            status=answer.status,
            kind=answer.kind,
            reason=answer.account,
        )
        if verdict is Verdict.ACCEPTED:
            gate.succeeded()
            batch.is_accepted = True
            self._finish(batch)
        elif verdict in (Verdict.BISECT, Verdict.HALVE):
            self._split(batch, answer, verdict)
            gate.succeeded()
        elif verdict is Verdict.RECODE:
            gate.leave()
            self._put_first([batch])
        else:
            self._outbox.set_aside(batch, gate.failed(answer.retry_after_seconds, batch.attempts))

    def _finish(self, batch: Batch) -> None:
        """Remove a batch that the collector has; a disk that fails is asked again, the collector is not."""
        try:
            self._spool.delivered(batch)
        except OSError as error:
            self._telemetry.disk_error(error)
            self._outbox.set_aside(batch, self._config.retry_max_seconds)

    def _split(self, batch: Batch, answer: Answer, verdict: Verdict) -> None:
        """Take the events apart that the collector refuses together, until the bad ones stand alone."""
        contents = records.read_records(batch.path.read_bytes())
        groups, buried = sort_out(contents.events, answer, verdict)
        self._put_first(self._spool.split(batch, contents, groups, buried))

    def _put_first(self, parts: Iterable[Batch]) -> None:
        for part in parts:
            self._outbox.set_aside(part, 0)
