"""What a collector counts: a few additions a request, never one an event; and the record that its views show.

Labels are bounded: a key is counted under its name only once it has signed, reasons are the codes of our own
answers, and of an engine's codes the first `_MAX_CODES` have a name, the others share one.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, fields

import msgspec

import eventpub
from eventpub.process.histogram import ATTEMPT_SECONDS, Histogram

SECONDS = ATTEMPT_SECONDS

_MAX_CODES = 30
_MAX_CODE_CHARACTERS = 40


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a collector did since its start, and how it is; of several workers together, their sums.

    Attributes:
        taken_at: seconds since 1970; of several workers, the oldest.
        requests: by status; probes are requests, too.
        stored: events, by key.
        duplicate: events that were stored before, by key.
        refused: events that were refused, by the code of the answer.
        engine_errors: batches that the store could not take, by the engine's own code.
        unknown_fields: by key.
        request_buckets: how many took at most as long as each of `SECONDS`, and then all.
        store_buckets: likewise, of the calls that store a batch.
        connections: that are open.
        pending_bytes: unpacked, and not answered yet.
        is_writable: whether the store took what came last.
        reason: why not.
        store_busy_seconds: for how long the store has been at the call that it is in.
    """

    taken_at: float
    version: str = eventpub.__version__
    workers: int = 1
    requests: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    duplicate: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    engine_errors: dict[str, int] = field(default_factory=dict)
    unknown_fields: dict[str, int] = field(default_factory=dict)
    request_buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    request_seconds: float = 0.0
    store_buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    store_seconds: float = 0.0
    connections: int = 0
    pending_bytes: int = 0
    is_writable: bool = False
    reason: str = "it is being opened"
    store_busy_seconds: float = 0.0

    def to_json(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes) -> Snapshot:
        """Return what `to_json` wrote.

        Raises:
            msgspec.MsgspecError: it did not.
        """
        return msgspec.json.decode(text, type=cls)


_ADDED = ("workers", "request_seconds", "store_seconds", "connections", "pending_bytes")


def add_snapshots(snapshots: list[Snapshot]) -> Snapshot:
    """Return what several workers did together; the store is as the worst of them finds it."""
    if not snapshots:
        return Snapshot(taken_at=time.time())
    values = {one.name: [getattr(each, one.name) for each in snapshots] for one in fields(Snapshot)}
    worst = min(snapshots, key=lambda each: each.is_writable)
    sums: dict[str, object] = {name: sum(values[name]) for name in _ADDED}
    for name, found in values.items():
        if isinstance(found[0], dict):
            sums[name] = dict(sum(map(Counter, found), Counter()))
        elif isinstance(found[0], list):
            sums[name] = [sum(column) for column in zip(*found, strict=True)]
    return Snapshot(
        taken_at=min(values["taken_at"]),
        is_writable=worst.is_writable,
        reason=worst.reason,
        store_busy_seconds=max(values["store_busy_seconds"]),
        **sums,  # type: ignore[arg-type]  # by the names of its fields
    )


class Counts:
    """Counts what happens."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._stored: Counter[str] = Counter()
        self._duplicate: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._engine_errors: Counter[str] = Counter()
        self._unknown_fields: Counter[str] = Counter()
        self._request_seconds = Histogram(SECONDS)
        self._store_seconds = Histogram(SECONDS)

    def answered(self, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests[str(status)] += 1
        self._request_seconds.observe(seconds)

    def stored(self, key_name: str, events: int, unknown_fields: int) -> None:
        """Count the events of a batch."""
        self._stored[key_name] += events
        if unknown_fields:
            self._unknown_fields[key_name] += unknown_fields

    def duplicate(self, key_name: str, events: int) -> None:
        """Count the events of a batch that was stored before."""
        self._duplicate[key_name] += events

    def refused(self, code: str, events: int) -> None:
        """Count events that were refused for good, or until their sender changes something."""
        self._refused[code] += events

    def store_called(self, seconds: float) -> None:
        """Time a call that stores a batch."""
        self._store_seconds.observe(seconds)

    def engine_failed(self, code: str) -> None:
        """Count a batch that the store could not take, by the engine's own code."""
        code = code[:_MAX_CODE_CHARACTERS] or "unknown"
        if code not in self._engine_errors and len(self._engine_errors) >= _MAX_CODES:
            code = "other"
        self._engine_errors[code] += 1

    def take(self, **now: object) -> Snapshot:
        """Return what was counted, and how things are `now`."""
        return Snapshot(
            taken_at=time.time(),
            requests=dict(self._requests),
            stored=dict(self._stored),
            duplicate=dict(self._duplicate),
            refused=dict(self._refused),
            engine_errors=dict(self._engine_errors),
            unknown_fields=dict(self._unknown_fields),
            request_buckets=self._request_seconds.cumulate(),
            request_seconds=self._request_seconds.sum,
            store_buckets=self._store_seconds.cumulate(),
            store_seconds=self._store_seconds.sum,
            **now,  # type: ignore[arg-type]  # fields of it
        )
