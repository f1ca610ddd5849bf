"""The one status record of a sidecar: what `eventpub status`, `top`, `/status`, `/metrics` and sd_notify show.

Times ending in `_at` are seconds since 1970 UTC, None for never; ages and durations are seconds. Text from
others holds no control characters, and a URL no password. A reader takes records of its own `VERSION`, whatever
fields newer sidecars add and older ones lack.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from .errors import StatusError

VERSION = 1  # of this form; fields may be added without another number, as long as they have defaults

FROZEN = "frozen"  # of a trouble: a stage hangs, so that only another start helps


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderPart:
    """A process that has the queue open, besides the sidecar."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePart:
    """The kernel queue.

    Attributes:
        name: of the queue.
        depth_messages: how many wait; None while it cannot be opened.
        capacity_messages: how many fit.
        message_size_bytes: how large one may be.
        open_in: who has it open, as far as this user may see; as of a few seconds ago.
    """

    name: str
    depth_messages: int | None = None
    capacity_messages: int = 0
    message_size_bytes: int = 0
    open_in: tuple[HolderPart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPart:
    """The sidecar itself.

    Attributes:
        pid: its number, in its own namespace.
        eventpub: its version.
        loops: `compiled`, or why they are not.
        slot: the number of its slot.
        directory: the folder of its slot.
        config_path: the file of its settings.
        started_at: when it started.
        listens: where `status.listen` answers; empty where it does not.
    """

    pid: int
    eventpub: str
    loops: str
    slot: int
    directory: str
    config_path: str
    started_at: float
    listens: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePart:
    """What a stage did last.

    Attributes:
        name: receive, seal, deliver, store or loop.
        last: what it did last; empty if nothing yet.
        age_seconds: how long ago that was.
        count: how often it did anything.
        doing: what it has been doing for longest; empty if nothing.
        doing_seconds: since when, beyond the time that this is allowed.
    """

    name: str
    last: str = ""
    age_seconds: float | None = None
    count: int = 0
    doing: str = ""
    doing_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is not as it should be.

    Attributes:
        code: one word: frozen, paused, refused, overdue, clock, key, letters.
        words: what is wrong and what to do, in one line.
        since: seconds since 1970 when it began; None where that is not known.
        is_blocking: whether events are kept from being delivered, so that `/readyz` says 503.
    """

    code: str
    words: str
    since: float | None = None
    is_blocking: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPart:
    """Events since the start of the process: received + recovered = delivered + dead + dropped + spooled."""

    received: int = 0
    recovered: int = 0
    delivered: int = 0
    dead: int = 0
    dropped: int = 0
    spooled: int = 0
    unaccounted: int = 0
    dead_by_reason: dict[str, int] = field(default_factory=dict)
    dropped_by_reason: dict[str, int] = field(default_factory=dict)
    received_bytes: int = 0
    delivered_bytes: int = 0
    disk_errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolPart:
    """The sealed batches.

    Attributes:
        events: how many events they hold.
        batches: how many batches there are.
        size_bytes: how much disk they take.
        limit_bytes: `spool.max_size`.
        oldest_at: when the first event of the oldest was received; None if there is none.
        open_events: events in the open batch, which are safe too.
    """

    events: int = 0
    batches: int = 0
    size_bytes: int = 0
    limit_bytes: int = 0
    oldest_at: float | None = None
    open_events: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersPart:
    """The queue's dead letters, of all sidecars and earlier processes; as of a few seconds ago."""

    count: int = 0
    size_bytes: int = 0
    limit_bytes: int = 0
    counted_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalPart:
    """The last attempt that failed.

    Attributes:
        at: when.
        verdict: what became of the batch, such as hold, mistimed, retry, misconfigured.
        status: the HTTP status; None without an answer.
        kind: why there was no answer: dns, refused, timeout, …; `http` where there was one.
        words: what the collector said, or what went wrong.
        remedy: what an operator can do; empty if it passes by itself.
    """

    at: float
    verdict: str
    status: int | None
    kind: str
    words: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPart:
    """The way to the collector.

    Attributes:
        url: where batches are posted, without user and password.
        last_success_at: when the collector last accepted a batch.
        last_refusal: the last attempt that failed, also if others were accepted since.
        failing_since: when the failures began that no success has ended; None while it works.
        next_attempt_at: when the next attempt may start; None if nothing waits, or attempts are in flight.
        in_flight: attempts right now.
        allowed: how many there may be.
        attempts: how many there were, by outcome and code, such as `retry 503`.
        clock_offset_seconds: how far the collector's clock is ahead of this host's; None if it does not say.
    """

    url: str = ""
    last_success_at: float | None = None
    last_refusal: RefusalPart | None = None
    failing_since: float | None = None
    next_attempt_at: float | None = None
    in_flight: int = 0
    allowed: int = 1
    attempts: dict[str, int] = field(default_factory=dict)
    clock_offset_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRecord:
    """All that one sidecar tells of itself.

    Attributes:
        version: of this form.
        taken_at: when it was written.
        state: running, paused (no messages are taken), refused (the collector takes none) or stopping.
        why: the reason, in words; empty while it runs.
        since: when that state began.
        troubles: what is wrong, the worst first; empty if all is well.
    """

    version: int = VERSION
    taken_at: float
    state: str
    why: str = ""
    since: float | None = None
    troubles: tuple[Trouble, ...] = ()
    process: ProcessPart
    queue: QueuePart
    stages: tuple[StagePart, ...] = ()
    ledger: LedgerPart = LedgerPart()
    spool: SpoolPart = SpoolPart()
    dead_letters: LettersPart = LettersPart()
    delivery: DeliveryPart = DeliveryPart()

    @property
    def is_ready(self) -> bool:
        """Tell whether events that are put now are on their way."""
        return not any(trouble.is_blocking for trouble in self.troubles)

    @property
    def is_alive(self) -> bool:
        """Tell whether it can go on without being started again."""
        return not any(trouble.code == FROZEN for trouble in self.troubles)

    def with_troubles(self, *troubles: Trouble) -> StatusRecord:
        """Return the same with further troubles, before those that it has."""
        return replace(self, troubles=(*troubles, *self.troubles))

    def to_json(self) -> bytes:
        """Return it as one JSON object."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, document: bytes) -> StatusRecord:
        """Read what `to_json` wrote, here or in a sidecar of another version.

        Raises:
            StatusError: it is no record, or one of another version of the form.
        """
        try:
            version = msgspec.json.decode(document, type=dict[str, msgspec.Raw]).get("version")
            if version is not None and msgspec.json.decode(version) != VERSION:
                theirs = bytes(version).decode(errors="replace")
                raise StatusError(
                    f"the sidecar's status has version {theirs}, and this command knows {VERSION}: use the "
                    "command of the sidecar's own installation"
                )
            return msgspec.json.decode(document, type=cls)
        except msgspec.MsgspecError as error:
            raise StatusError(f"this is no status of a sidecar: {error}") from error
