"""Events in a PostgreSQL database: COPY and the batch's id in one transaction.

Any number of collectors may share a database. Credentials and TLS are libpq's: `PGPASSWORD`, `~/.pgpass`,
`PGSSLMODE` and so on, or parameters of the URL other than a password.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from eventpub.errors import ConfigError, NotYetError

from . import EventRow, Health, Outcome, Receipt
from .dedupe import AgeClock
from .retention import Retention

if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import IncomingBatch
    from .address import StoreAddress

SCHEMA_VERSION = 1  # in the table eventpub_schema

_MIGRATIONS = (  # each brings the tables from the version before to its own
    """
CREATE TABLE events (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at      double precision NOT NULL, -- seconds since 1970
    batch_id         text NOT NULL,
    key_name         text NOT NULL,
    version          text NOT NULL,
    source           text,
    action           text,
    noun             text,
    name             text,
    client_timestamp double precision,
    uuid             text,
    correlation_id   text,
    user_id          text,
    event            text NOT NULL -- JSON; not json: it holds what was sent, and jsonb refuses \\u0000
);
CREATE INDEX events_by_time ON events (received_at);
CREATE INDEX events_by_uuid ON events (uuid) WHERE uuid IS NOT NULL;
CREATE TABLE batch_ids (
    key_name    text NOT NULL,
    batch_id    text NOT NULL,
    digest      bytea NOT NULL, -- empty: parts of it came
    received_at double precision NOT NULL,
    PRIMARY KEY (key_name, batch_id)
);
CREATE INDEX batch_ids_by_age ON batch_ids (received_at);
""",
)
TRIM = """
DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < %s ORDER BY received_at LIMIT 2000)
"""
_LOCK = 0x65767075  # of those that look at or change the version
_COLUMNS = ("received_at", "batch_id", "key_name", "version", *EventRow._fields)
_COPY = f"COPY events ({', '.join(_COLUMNS)}) FROM STDIN"
_REMEMBER = """
INSERT INTO batch_ids (key_name, batch_id, digest, received_at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_FORGET = """
DELETE FROM batch_ids WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM batch_ids WHERE received_at < %s ORDER BY received_at LIMIT 8 FOR UPDATE SKIP LOCKED))
"""


class PostgresqlStore:
    """A `Store` in a database, whose tables are made if they are not there. One caller at a time.

    Args:
        address: the URL.
        timeout_seconds: how long the server may take for each answer, and to be reached.
        dedupe_memory_seconds: how long batch ids are remembered at least.
        keep_seconds: how long events are kept; 0 keeps them for ever.

    Raises:
        ConfigError: the database cannot keep events.
        NotYetError: the server does not answer yet.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        timeout_seconds: float,
        dedupe_memory_seconds: float,
        keep_seconds: float = 0.0,
    ) -> None:
        self._retention = Retention(keep_seconds)
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._memory_seconds = dedupe_memory_seconds
        self._connection: psycopg.Connection | None = None
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def add(self, batch: IncomingBatch) -> Receipt:
        """Store a batch, or find that it was stored before."""
        origin = (batch.received_at, batch.batch_id, batch.key_name, batch.version)
        try:
            known = None
            with self._transaction() as cursor:
                if batch.deduplicate and (known := self._claim(cursor, batch)):
                    raise psycopg.Rollback  # what `_claim` noted of a batch that is not stored
                with cursor.copy(_COPY) as copy:
                    for event in batch.events:
                        copy.write_row(tuple(map(_fit_text, origin + event)))
        except psycopg.Error as error:
            return _refuse(error)
        return known or Receipt(Outcome.STORED)

    def seen(self, batch: IncomingBatch) -> Receipt | None:
        """Return DUPLICATE for a batch that was stored before, whole or with a parent; None for any other."""
        try:
            with self._transaction() as cursor:
                known = self._look_up(cursor, batch)
        except psycopg.Error as error:
            return _refuse(error)
        return known if known and known.outcome is Outcome.DUPLICATE else None

    def health(self) -> Health:
        """Say whether the server answers; the number of events is that of their ids."""
        try:
            with self._transaction() as cursor:
                cursor.execute("SELECT last_value, is_called FROM events_id_seq")
                last, is_called = cursor.fetchone() or (0, False)
        except psycopg.Error as error:
            return Health(writable=False, reason=_say(error))
        return Health(writable=True, events_stored=last if is_called else 0)

    def tend(self) -> None:
        """Remove some of the events that are older than `keep_seconds`."""
        before = self._retention.before()
        if before is not None:
            with contextlib.suppress(psycopg.Error), self._transaction() as cursor:
                cursor.execute(TRIM, (before,))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _prepare(self) -> None:
        """Make or migrate the tables, and say what is wrong in the words of the configuration."""
        try:
            self._migrate()
        except psycopg.OperationalError as error:
            raise NotYetError(
                "collector", "store", str(self._address), f"no answer yet: {_say(error)}"
            ) from error
        except psycopg.Error as error:
            reason = f"cannot be used: {_say(error)}"
            raise ConfigError("collector", "store", str(self._address), reason) from error

    def _migrate(self) -> None:
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor.execute("CREATE TABLE IF NOT EXISTS eventpub_schema (version integer NOT NULL)")
            version = (cursor.execute("SELECT max(version) FROM eventpub_schema").fetchone() or (None,))[0] or 0
            if version > SCHEMA_VERSION:
                reason = (
                    f"its tables are of version {version}, this collector's {SCHEMA_VERSION}: take a newer one"
                )
                raise ConfigError("collector", "store", str(self._address), reason)
            for target in range(version + 1, SCHEMA_VERSION + 1):
                cursor.execute(_MIGRATIONS[target - 1])
                cursor.execute("INSERT INTO eventpub_schema VALUES (%s)", (target,))
            youngest = cursor.execute("SELECT max(received_at) FROM batch_ids").fetchone()
            self._clock = AgeClock(youngest[0] if youngest else None)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor]:
        if self._connection is None or self._connection.closed:
            timeout_ms = int(self._timeout_seconds * 1000)
            given = conninfo_to_dict(self._address.where).get("options", "")
            self._connection = psycopg.connect(
                self._address.where,
                connect_timeout=max(1, timeout_ms // 1000),
                options=f"{given} -c statement_timeout={timeout_ms}",
                tcp_user_timeout=timeout_ms,
            )
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error:
            if self._connection.broken:
                self._connection.close()
            raise

    def _claim(self, cursor: psycopg.Cursor, batch: IncomingBatch) -> Receipt | None:
        """Remember the ids of a batch and its parents; return what became of it if one is known already.

        A batch of the same id that another collector is storing holds this one until it is committed or undone.
        """
        now = self._clock.now()  # and not the time of day, which may be wrong for a moment
        cursor.execute(_FORGET, (now - self._memory_seconds,))
        for parent in batch.parents:  # first, so that a parent on its way cannot pass
            cursor.execute(_REMEMBER, (batch.key_name, parent, b"", now))
        cursor.execute(_REMEMBER, (batch.key_name, batch.batch_id, batch.digest, now))
        is_new = cursor.rowcount == 1
        return self._look_up(cursor, batch, is_new=is_new)

    def _look_up(self, cursor: psycopg.Cursor, batch: IncomingBatch, *, is_new: bool = False) -> Receipt | None:
        cursor.execute(
            "SELECT batch_id, digest FROM batch_ids WHERE key_name = %s AND batch_id = ANY (%s)",
            (batch.key_name, [batch.batch_id, *batch.parents]),
        )
        known: dict[str, bytes] = dict(cursor.fetchall())
        if any(known.get(parent) for parent in batch.parents):
            return Receipt(Outcome.DUPLICATE)
        digest = known.get(batch.batch_id)
        if digest is None or is_new:
            return None
        if not digest:
            return Receipt(Outcome.TAKEN_APART)
        is_same = batch.digest is None or digest == batch.digest
        return Receipt(Outcome.DUPLICATE if is_same else Outcome.KEY_REUSED)


def _fit_text(value: object) -> object:
    """Return a value as a column takes it: no text of PostgreSQL has NUL; the event has it as an escape."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value


def _refuse(error: psycopg.Error) -> Receipt:
    """Return what became of a batch, with the SQLSTATE, or what the client has where no server answered."""
    return Receipt(Outcome.UNAVAILABLE, _say(error), code=error.sqlstate or type(error).__name__)


def _say(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
