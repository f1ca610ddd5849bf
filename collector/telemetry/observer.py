"""Watches one collector and tells how it is: to `status.listen`, or, as a worker, to a file.

Where its store hangs, the process ends with a code of its own, and what started it starts another one.

Workers share one socket for events and cannot share one for questions: whoever is asked would tell of itself
only. So each writes what it counted into a file once a second, and the process that watches them adds the files
up when it is asked. The file outlives its worker, and the next one goes on from there: a counter never falls,
and a worker that is killed takes the counts of at most a second with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from typing import TYPE_CHECKING

import gevent

from eventpub.process.listener import ProbeListener
from eventpub.process.watchdog import end_frozen

from .counts import Snapshot, add_snapshots
from .routes import find_hang, make_routes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Protocol

    from eventpub.collector.store.thread import StoreThread

    from .counts import Counts

    class Served(Protocol):
        """What is known of the server."""

        counts: Counts
        table: Sequence[object]

    class Taking(Protocol):
        """What is known of the application."""

        @property
        def pending_bytes(self) -> int:
            """Bytes unpacked and not answered yet."""


logger = logging.getLogger(__name__)

REMAINS = "what was acknowledged is stored, and senders repeat the rest"


class Observer:
    """Looks at a server, and at the store and the application once they are there.

    Args:
        server: has the counts.
        file: where a worker tells of itself; None for a collector on its own.
        hung_seconds: a store that is at one call for longer hangs.
        tick_seconds: how often it looks.
        end: ends the process, and gets the reason in words.
    """

    def __init__(
        self,
        server: Served,
        file: Path | None = None,
        *,
        hung_seconds: float,
        tick_seconds: float = 1.0,
        end: Callable[[str], object] | None = None,
    ) -> None:
        self._server = server
        self._hung_seconds = hung_seconds
        self._tick_seconds = tick_seconds
        self._end = end or functools.partial(end_frozen, remains=REMAINS)
        self._was_hung = False
        self._file = file
        self._before = read_snapshots([file] if file else [])
        self._store: StoreThread | None = None
        self._application: Taking | None = None
        self._listener: ProbeListener | None = None
        self._ticking: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Look from now on, also while there is no store yet."""
        self._ticking = gevent.spawn(self._tick)

    def listen(self, address: tuple[str, int] | str | None) -> None:
        """Answer at `status.listen`, if it is set.

        Raises:
            ListenError: the address is taken, or not this host's.
        """
        if address is not None:
            self._listener = ProbeListener(make_routes(self.look, self._hung_seconds), address)

    def watch(self, store: StoreThread, application: Taking) -> None:
        """Look at these, too."""
        self._store, self._application = store, application

    def look(self) -> Snapshot:
        """Return what was counted, and how things are."""
        now: dict[str, object] = {"connections": len(self._server.table)}
        if self._store is not None and self._application is not None:
            health, busy_seconds = self._store.known_health, self._store.busy_seconds
            now |= {"is_writable": health.writable, "reason": health.reason}
            if busy_seconds > self._hung_seconds:
                now |= {"is_writable": False, "reason": f"it has not answered for {busy_seconds:.0f} s"}
            now |= {"store_busy_seconds": busy_seconds}
            now |= {"pending_bytes": self._application.pending_bytes}
        return self._server.counts.take(**now)

    def is_well(self) -> bool:
        """Tell whether nothing hangs."""
        return not find_hang(self.look(), self._hung_seconds)

    def close(self) -> None:
        """Answer nobody any more."""
        if self._ticking is not None:
            self._ticking.kill()
        if self._listener is not None:
            self._listener.close()

    def _tick(self) -> None:
        """Tell the file, and see whether a store that failed works again, or hangs."""
        while True:
            if self._file is not None:
                self._write(self._file)
            gevent.sleep(self._tick_seconds)
            if self._store is not None:
                self._check(self._store)

    def _check(self, store: StoreThread) -> None:
        """End the process if its store hangs, since only another start helps.

        It does if that is seen twice: a process that was stopped in the middle of a call goes on with it.
        """
        is_hung = store.busy_seconds > self._hung_seconds
        if is_hung and self._was_hung:
            self._end(f"the store has not answered for {store.busy_seconds:.0f} s")
        self._was_hung = is_hung
        if not store.known_health.writable:
            store.health()

    def _write(self, file: Path) -> None:
        draft = file.with_suffix(".tmp")
        try:
            draft.write_bytes(self._go_on(self.look()).to_json())
            draft.replace(file)
        except OSError as error:  # a full disk; its time says at least that this process lives
            logger.debug("counts were not written: %s", error)
            with contextlib.suppress(OSError):
                os.utime(file)

    def _go_on(self, snapshot: Snapshot) -> Snapshot:
        """Add what earlier workers of this number counted."""
        if not self._before:
            return snapshot
        gauges = {
            name: getattr(snapshot, name) for name in ("workers", "connections", "pending_bytes", "taken_at")
        }
        state = {name: getattr(snapshot, name) for name in ("is_writable", "reason", "store_busy_seconds")}
        return dataclasses.replace(add_snapshots([snapshot, *self._before]), **gauges, **state)


def listen_for_workers(
    files: Sequence[Path], address: tuple[str, int] | str | None, hung_seconds: float
) -> ProbeListener | None:
    """Answer at `status.listen`, if it is set, with what the workers' files say together.

    Args:
        files: of all workers.
        address: where.
        hung_seconds: after which a worker that hangs should have been replaced.

    Raises:
        ListenError: the address is taken, or not this host's.
    """
    if address is None:
        return None
    return ProbeListener(make_routes(lambda: add_snapshots(read_snapshots(files)), hung_seconds), address)


def are_well(files: Sequence[Path], hung_seconds: float) -> bool:
    """Tell whether all workers say how they are, and that nothing has hung for longer than `hung_seconds`."""
    return not find_hang(add_snapshots(read_snapshots(files)), hung_seconds)


def read_snapshots(files: Sequence[Path]) -> list[Snapshot]:
    """Return what the files say that are there."""
    return [Snapshot.from_json(file.read_bytes()) for file in files if file.exists()]
