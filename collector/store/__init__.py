"""Stage 8: a batch of valid events -> rows, once.

The interface between the collector and a store. An implementation promises that `add` is one transaction: the
whole batch is stored and its id remembered with it, or neither happens.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class EventRow(NamedTuple):
    """One event: its main fields, where it has them, then the whole of it as JSON.

    A tuple, because that is what a database takes: a batch has a thousand of them.
    """

    source: str | None
    action: str | None
    noun: str | None
    name: str | None
    client_timestamp: float | None  # as the event has it: milliseconds since 1970 in version 2
    uuid: str | None
    correlation_id: str | None
    user_id: str | None
    event: str


@dataclass(frozen=True, slots=True)
class IncomingBatch:
    """The events of one request.

    Attributes:
        key_name: the key that signed it; batch ids of different keys have nothing to do with each other.
        batch_id: what its rows are found by.
        deduplicate: whether `batch_id` is the sender's, and the batch is to be stored once.
        digest: the SHA-256 of the plain body: what the sender's id stands for; None where it was not
            read.
        version: of the wire, one of `wire.VERSIONS`.
        received_at: seconds since 1970.
        events: any number of them.
        parents: the sender's ids of batches that this one is a part of.
    """

    key_name: str
    batch_id: str
    deduplicate: bool
    digest: bytes | None
    version: str
    received_at: float
    events: Sequence[EventRow]
    parents: tuple[str, ...] = ()


class Outcome(enum.Enum):
    """What became of a batch."""

    STORED = "stored"
    DUPLICATE = "duplicate"  # stored before: the same body under the same id, or a batch that it is a part of
    TAKEN_APART = "taken_apart"  # parts of it came before; this came late, and was not stored
    KEY_REUSED = "idempotency_key_reused"  # another body was stored under its id; this one was not
    TOO_MANY = "too_many_events"  # for one transaction of this engine; nothing was stored
    UNAVAILABLE = "store_unavailable"  # nothing was stored; later it may be


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch.

    Attributes:
        outcome: what.
        reason: why, where it is UNAVAILABLE.
        limit_events: how many events a batch may have, where it has TOO_MANY.
        code: the engine's own for that reason: a name or a number of a small set.
    """

    outcome: Outcome
    reason: str = ""
    limit_events: int = 0
    code: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the store can write now, if not why, and how many events it has stored in its life."""

    writable: bool
    events_stored: int = 0
    reason: str = ""


class Store(Protocol):
    """Where events go. What a store can run into is in the results; nothing is raised for it."""

    def add(self, batch: IncomingBatch) -> Receipt:
        """Store a batch, or find that it was stored before, whole or with a parent.

        Once a part is stored, its parents are not stored any more: one may still be on its way from an attempt
        that its sender has given up.
        """

    def seen(self, batch: IncomingBatch) -> Receipt | None:
        """Return DUPLICATE for a batch that was stored before, whole or with a parent; None for any other."""

    def health(self) -> Health:
        """Return at once whether batches can be stored; write only to check if an earlier failure is over."""

    def tend(self) -> None:
        """Do what is due beside batches, such as to answer a server's ping; called about once a second."""

    def close(self) -> None:
        """Close files and connections; no other call follows."""
