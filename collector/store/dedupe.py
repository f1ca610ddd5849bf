"""Which batch ids came with which body: kept in the transaction that stores the batch.

An id is remembered for at least a given time. Older ones go a few at a time with every batch that comes, so
that forgetting never takes long and needs no clockwork.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from . import IncomingBatch

SCHEMA = (
    """
CREATE TABLE batch_ids (
    key_name    TEXT NOT NULL,
    batch_id    TEXT NOT NULL,
    digest      BLOB NOT NULL,
    received_at REAL NOT NULL,
    PRIMARY KEY (key_name, batch_id)
) WITHOUT ROWID
""",
    "CREATE INDEX batch_ids_by_age ON batch_ids (received_at)",
)
_FORGOTTEN_PER_BATCH = 8  # a batch adds one, so a backlog shrinks
_FORGET = """
DELETE FROM batch_ids WHERE (key_name, batch_id) IN
    (SELECT key_name, batch_id FROM batch_ids WHERE received_at < ? ORDER BY received_at LIMIT ?)
"""


class Claim(enum.Enum):
    """What is known of a batch id."""

    NEW = "not seen before"
    SAME_BODY = "seen with the same body"
    OTHER_BODY = "seen with another body"


def claim_batch(connection: sqlite3.Connection, batch: IncomingBatch, memory_seconds: float) -> Claim:
    """Remember the id of `batch`, unless it is known already; the caller commits."""
    connection.execute(_FORGET, (batch.received_at - memory_seconds, _FORGOTTEN_PER_BATCH))
    known = look_up(connection, batch)
    if known is not Claim.NEW:
        return known
    connection.execute(
        "INSERT INTO batch_ids (key_name, batch_id, digest, received_at) VALUES (?, ?, ?, ?)",
        (batch.key_name, batch.batch_id, batch.digest, batch.received_at),
    )
    return Claim.NEW


def look_up(connection: sqlite3.Connection, batch: IncomingBatch) -> Claim:
    """Return what is known of the id of `batch`."""
    known = connection.execute(
        "SELECT digest FROM batch_ids WHERE key_name = ? AND batch_id = ?", (batch.key_name, batch.batch_id)
    ).fetchone()
    if known is None:
        return Claim.NEW
    return Claim.SAME_BODY if known[0] == batch.digest else Claim.OTHER_BODY
