"""Which batch ids came with which body: kept in the transaction that stores the batch.

A part of a batch names its parents, the batches that it was taken out of. It is known if one of these is.
When it is new, its parents are remembered as taken apart, so that none of them is stored if it arrives late.

An id is remembered for at least a given time. Older ones go a few at a time with every batch that comes, so
that forgetting never takes long and needs no clockwork. That time is one in which a collector ran: how the time
of day is set, rightly or wrongly, makes no id older.
"""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from . import IncomingBatch

SCHEMA = (
    """
CREATE TABLE batch_ids (
    key_name    TEXT NOT NULL,
    batch_id    TEXT NOT NULL,
    digest      BLOB NOT NULL,
    received_at REAL NOT NULL,  -- by `AgeClock`
    PRIMARY KEY (key_name, batch_id)
) WITHOUT ROWID
""",
    "CREATE INDEX batch_ids_by_age ON batch_ids (received_at)",
)
_FORGOTTEN_PER_BATCH = 8  # a batch adds one, so a backlog shrinks
_NO_BODY = b""  # in place of a digest: the batch was taken apart
_FORGET = """
DELETE FROM batch_ids WHERE (key_name, batch_id) IN
    (SELECT key_name, batch_id FROM batch_ids WHERE received_at < ? ORDER BY received_at LIMIT ?)
"""
_REMEMBER = "INSERT OR IGNORE INTO batch_ids (key_name, batch_id, digest, received_at) VALUES (?, ?, ?, ?)"


class Claim(enum.Enum):
    """What is known of a batch id."""

    NEW = "not seen before"
    SAME_BODY = "seen with the same body"
    OTHER_BODY = "seen with another body"
    TAKEN_APART = "parts of it were seen"


class AgeClock:
    """Tells how old ids are: it goes on from the youngest of them, while the store is open.

    Args:
        youngest: the time of the youngest id, None if there is none.
        monotonic: a clock that nobody sets, in seconds.
    """

    def __init__(self, youngest: float | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        # a store of earlier versions may have been written under a clock that was ahead
        start = time.time() if youngest is None else min(youngest, time.time())
        self._monotonic = monotonic
        self._offset = start - monotonic()

    def now(self) -> float:
        """Return seconds since 1970, less those in which no collector ran."""
        return self._offset + self._monotonic()


def claim_batch(
    connection: sqlite3.Connection, batch: IncomingBatch, now: float, memory_seconds: float
) -> Claim:
    """Remember the id of `batch`, unless it is known already; the caller commits.

    Args:
        connection: to the store, in a transaction.
        batch: it has a sender's id.
        now: by an `AgeClock`.
        memory_seconds: how old ids become at least.
    """
    connection.execute(_FORGET, (now - memory_seconds, _FORGOTTEN_PER_BATCH))
    known = look_up(connection, batch)
    if known is not Claim.NEW:
        return known
    connection.execute(_REMEMBER, (batch.key_name, batch.batch_id, batch.digest, now))
    for parent in batch.parents:
        connection.execute(_REMEMBER, (batch.key_name, parent, _NO_BODY, now))
    return Claim.NEW


def look_up(connection: sqlite3.Connection, batch: IncomingBatch) -> Claim:
    """Return what is known of the id of `batch`, or of its parents."""
    ids = (batch.batch_id, *batch.parents)
    places = ", ".join("?" * len(ids))
    known: dict[str, bytes] = dict(
        connection.execute(
            f"SELECT batch_id, digest FROM batch_ids WHERE key_name = ? AND batch_id IN ({places})",  # noqa: S608
            (batch.key_name, *ids),
        )
    )
    if any(known.get(parent) for parent in batch.parents):
        return Claim.SAME_BODY
    digest = known.get(batch.batch_id)
    if digest is None:
        return Claim.NEW
    if digest == _NO_BODY:
        return Claim.TAKEN_APART
    return Claim.SAME_BODY if batch.digest in (digest, None) else Claim.OTHER_BODY
