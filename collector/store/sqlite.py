"""Events in one SQLite file, which any tool can read while the collector writes: one transaction a batch.

The file is in WAL mode. With `synchronous` full a commit returns after its fsync, so that a 2xx outlives a
power cut; with normal, which fsyncs at checkpoints only, it outlives no more than the process. Nothing is
committed to a file that is no longer at its path: it would be gone with the process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING

from eventpub.errors import ConfigError, NotYetError

from . import Health, Outcome, Receipt, dedupe, lookup
from .retention import Retention
from .tables import INSERT, prepare_tables, trim_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from . import IncomingBatch

WAL_BYTES = 20 * 1024**2  # to which the WAL shrinks again, once nobody reads; a checkpoint waits for 16 MiB
REMOVED = "the store file was removed or replaced; restart the collector"

_CHECKPOINT_PAGES = 4_000  # of 4 KiB: fewer checkpoints write pages that change often once, and not ten times


class SqliteStore:
    """A `Store` in the SQLite file at `path`, which is made if it is not there. One caller at a time.

    Args:
        path: the file; its folder must exist.
        synchronous: `full` or `normal`.
        busy_timeout_seconds: how long to wait while another process holds the file.
        dedupe_memory_seconds: how long batch ids are remembered at least.
        keep_seconds: how long events are kept; 0 keeps them for ever.
        monotonic: a clock that nobody sets, in seconds.

    Raises:
        ConfigError: the file cannot be opened, or something else is in it.
        NotYetError: the file cannot be opened now: it is locked, or the disk is full.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str,
        busy_timeout_seconds: float,
        dedupe_memory_seconds: float,
        keep_seconds: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failed_bytes: int | None = None  # of the events of the last batch, if it could not be stored
        self._memory_seconds = dedupe_memory_seconds
        self._retention = Retention(keep_seconds)
        real_path = path.resolve()  # SQLite, too, puts the WAL beside what a link leads to
        self._files = (real_path, real_path.with_name(real_path.name + "-wal"))
        try:
            # callers take turns, and need not all be the thread that opened it
            self._connection = sqlite3.connect(
                path, timeout=busy_timeout_seconds, isolation_level=None, check_same_thread=False
            )
            with contextlib.ExitStack() as on_refusal:
                on_refusal.callback(self._connection.close)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute(f"PRAGMA synchronous = {synchronous}")
                self._connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
                self._connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
                with self._transaction():
                    is_ours = prepare_tables(self._connection)
                    self._opened = self._identities()
                if not is_ours:
                    raise ConfigError(
                        "collector", "store.path", str(path), "is not a file of this collector; name another"
                    )
                # only a statement that would write, rows or none, has SQLite refuse a file it may not write
                self._connection.execute("DELETE FROM health WHERE 0")
                (youngest,) = self._connection.execute("SELECT max(received_at) FROM batch_ids").fetchone()
                self._clock = dedupe.AgeClock(youngest, monotonic)
                on_refusal.pop_all()
        except sqlite3.Error as error:
            kind = NotYetError if _may_pass(error, path) else ConfigError
            raise kind("collector", "store.path", str(path), f"cannot be opened: {error}") from error

    def add(self, batch: IncomingBatch) -> Receipt:
        """Store a batch, or find that it was stored before."""
        receipt = self._add(batch)
        is_failed = receipt.outcome is Outcome.UNAVAILABLE
        self._failed_bytes = measure_events(batch) if is_failed else None
        return receipt

    def _add(self, batch: IncomingBatch) -> Receipt:
        origin = (batch.received_at, batch.batch_id, batch.key_name, batch.version)
        try:
            with self._transaction():
                if batch.deduplicate:
                    claim = dedupe.claim_batch(self._connection, batch, self._clock.now(), self._memory_seconds)
                    if claim is dedupe.Claim.SAME_BODY:
                        return Receipt(Outcome.DUPLICATE)
                    if claim is dedupe.Claim.OTHER_BODY:
                        return Receipt(Outcome.KEY_REUSED)
                    if claim is dedupe.Claim.TAKEN_APART:
                        return Receipt(Outcome.TAKEN_APART)
                self._connection.executemany(INSERT, [origin + row for row in batch.events])
                if batch.events:
                    (last_id,) = self._connection.execute("SELECT last_insert_rowid()").fetchone()
                    lookup.add_batch(self._connection, batch, last_id)
        except sqlite3.Error as error:
            return _refuse(error)
        return Receipt(Outcome.STORED)

    def seen(self, batch: IncomingBatch) -> Receipt | None:
        """Return DUPLICATE for a batch that was stored before, whole or with a parent; None for any other."""
        try:
            is_known = dedupe.look_up(self._connection, batch) is dedupe.Claim.SAME_BODY
        except sqlite3.Error as error:
            return _refuse(error)
        return Receipt(Outcome.DUPLICATE) if is_known else None

    def health(self) -> Health:
        """Say at once whether batches can be stored; write only to see whether what failed last works again."""
        try:
            if self._failed_bytes is not None:
                self._try_to_write(self._failed_bytes)
            elif self._identities() != self._opened:
                raise sqlite3.OperationalError(REMOVED)
            # rows may have been removed since, and to count them would take a scan
            seen = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        except sqlite3.Error as error:
            return Health(writable=False, reason=str(error))
        return Health(writable=True, events_stored=seen[0] if seen else 0)

    def _try_to_write(self, size_bytes: int) -> None:
        """Write as much as the batch that failed, and free it: a full disk has room for less."""
        (patience_ms,) = self._connection.execute("PRAGMA busy_timeout").fetchone()
        self._connection.execute("PRAGMA busy_timeout = 0")  # batches wait behind this
        try:
            with self._transaction():
                self._connection.execute(
                    "UPDATE health SET checks = checks + 1 WHERE typeof(checks) = 'integer'"
                )
                self._connection.execute("INSERT INTO health VALUES (zeroblob(?))", (size_bytes,))
            with self._transaction():
                self._connection.execute("DELETE FROM health WHERE typeof(checks) = 'blob'")
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
        self._failed_bytes = None

    def tend(self) -> None:
        """Remove some of the events that are older than `keep_seconds`."""
        before = self._retention.before()
        if before is not None:
            with contextlib.suppress(sqlite3.Error):  # locked: the next time
                trim_events(self._connection, before)

    def close(self) -> None:
        """Close the file; SQLite folds the WAL into it."""
        self._connection.close()

    def _identities(self) -> list[tuple[int, int] | None]:
        """Return device and inode of what is at the paths of the files now; two stats take 6 µs."""
        return [_identify_file(path) for path in self._files]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            if self._identities() != self._opened:  # SQLite would write on, into files that have no name
                raise sqlite3.OperationalError(REMOVED)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _refuse(error: sqlite3.Error) -> Receipt:
    """Return what became of a batch, with SQLite's name of the error; Python 3.10 does not tell that."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    code = "removed" if str(error) == REMOVED else name
    return Receipt(Outcome.UNAVAILABLE, str(error), code=code)


def _identify_file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _may_pass(error: sqlite3.Error, path: Path) -> bool:
    """Tell whether opening the file at `path` may work in a moment: not if a person must change something."""
    if not isinstance(error, sqlite3.OperationalError) or "readonly" in str(error):
        return False
    return not path.is_dir() and os.access(path.resolve().parent, os.W_OK | os.X_OK)


def measure_events(batch: IncomingBatch) -> int:
    """Return about how much the events of a batch take in the store."""
    return sum(len(value) for row in batch.events for value in row if isinstance(value, str))
