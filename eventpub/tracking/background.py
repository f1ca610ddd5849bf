"""A backend that takes events at once and sends them to another backend from its own thread.

It holds a bounded number of events in this process's memory. Every loss is counted with a reason: at all times
`sent = delivered + waiting + lost`. Events that must survive the process belong on an `EventQueue` instead.

The thread starts with the first event. A forked child starts empty, since its parent still delivers the waiting
events, and with its own thread and its own lock. Both are created at first use: gevent may have patched
`threading` since the fork. At the end of a process there are five seconds to deliver waiting events (see
`process_end`).
"""

from __future__ import annotations

import enum
import logging
import os
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from eventpub.errors import StageError, describe_error, find_traceback
from eventpub.pipeline import check_backend, name_for_log

from .process_end import EXIT_SECONDS, forget_ends, living, notice_ends
from .snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

    from eventpub.pipeline import Backend

logger = logging.getLogger(__name__)

WhenFull = Literal["drop_newest", "drop_oldest", "block"]

WAIT_SECONDS = 1.0
WARN_SECONDS = 60.0


class Loss(enum.Enum):
    """Why an event was lost."""

    FULL = "full"  # it, or the oldest, had no room
    FAILED = "failed"  # the backend behind raised, or returned False
    CLOSED = "closed"  # sent after close
    UNFINISHED = "unfinished"  # still waiting when close had no more time


class Books(NamedTuple):
    """The outcomes of all events sent: `sent` is the sum of the others."""

    sent: int
    delivered: int
    waiting: int
    lost: Mapping[Loss, int]


class AsyncBackend:
    """Takes events without waiting for the backend behind it.

    Greenlets can share it if gevent has patched `threading`; asyncio handlers may send, and close it in a
    thread.

    Args:
        backend: gets the events one by one, in order. What it raises is logged.
        max_events: the most that wait; 10,000 by default.
        when_full: "drop_newest" loses the event being sent (the default), "drop_oldest" the one that has waited
            longest; "block" makes `send` wait for room, except that events sent by the backend itself are lost.
        wait_seconds: the most that "block" waits, 1 by default; then the event being sent is lost.

    Raises:
        NotAStageError: (a ValueError) the backend has no `send` that can be called.
        StageError: (a ValueError) `max_events` is less than 1, `wait_seconds` is less than 0, or `when_full` is
            unknown.
    """

    only_reads = True  # the waiting events are copies

    def __init__(
        self,
        backend: Backend,
        *,
        max_events: int = 10_000,
        when_full: WhenFull = "drop_newest",
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        check_backend("backend", backend)
        if max_events < 1:
            raise StageError("max_events", repr(max_events), "is too few; use at least 1")
        if when_full not in get_args(WhenFull):
            raise StageError("when_full", repr(when_full), f"is none of {', '.join(get_args(WhenFull))}")
        if not wait_seconds >= 0:
            raise StageError("wait_seconds", repr(wait_seconds), "is too few; 0 is the least")
        self.backend = backend
        self.max_events = max_events
        self.when_full = when_full
        self.wait_seconds = wait_seconds
        self._closed = False
        self._begin()
        living.add(self)

    def _begin(self) -> None:
        self.__dict__.pop("_condition", None)
        self._waiting: deque[Any] = deque()
        self._in_hand = 0  # events the worker has taken and the backend not yet
        self._sent = self._delivered = 0
        self._lost: Counter[Loss] = Counter()
        self._warn_at: dict[Loss, float] = {}
        self._worker: threading.Thread | None = None

    @property
    def _changed(self) -> threading.Condition:
        # Its lock may be taken again by who holds it, such as a signal handler that sends.
        condition: threading.Condition | None = self.__dict__.get("_condition")
        return condition or self.__dict__.setdefault("_condition", threading.Condition())

    @property
    def books(self) -> Books:
        """The outcomes of the events that this process sent."""
        with self._changed:
            waiting = len(self._waiting) + self._in_hand
            return Books(self._sent, self._delivered, waiting, dict(self._lost))

    def send(self, event: Any, /) -> None:
        """Take one event; it waits for the backend, or is lost and counted."""
        event = snapshot(event)
        with self._changed:
            if self.when_full == "block" and threading.current_thread() is not self._worker:
                has_room = lambda: self._closed or len(self._waiting) < self.max_events  # noqa: E731
                self._changed.wait_for(has_room, self.wait_seconds)
            self._sent += 1
            reason, lost = self._take(event)
            if reason:
                self._lost[reason] += 1
        if reason:
            self._warn(reason, lost)

    def _take(self, event: Any) -> tuple[Loss | None, Any]:
        """Add an event to the waiting ones; return the one lost by that, and why."""
        if self._closed:
            return Loss.CLOSED, event
        is_full = len(self._waiting) >= self.max_events
        if is_full and self.when_full != "drop_oldest":
            return Loss.FULL, event
        oldest = self._waiting.popleft() if is_full else None
        self._waiting.append(event)
        self._see_to_worker()
        self._changed.notify_all()
        return Loss.FULL if is_full else None, oldest

    def _see_to_worker(self) -> None:
        """Start the thread, if events are waiting and no thread is alive."""
        if self._waiting and (self._worker is None or not self._worker.is_alive()):
            self._worker = threading.Thread(target=self._work, name="eventpub-async-backend", daemon=True)
            self._worker.start()
            notice_ends()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until no events are waiting.

        Args:
            timeout: the most seconds to wait; no limit by default.

        Returns:
            Whether no events are waiting.
        """
        with self._changed:
            self._see_to_worker()
            return self._changed.wait_for(lambda: not self._waiting and not self._in_hand, timeout)

    def close(self, timeout: float | None = EXIT_SECONDS) -> bool:
        """Take no more events, and deliver the waiting ones.

        Args:
            timeout: the most seconds to wait, 5 by default, None for no limit. Events still waiting then are
            lost,
                except those that the backend is sending.

        Returns:
            Whether everything was delivered.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            is_finished = self.flush(timeout)
            left, self._waiting = self._waiting, deque()
            if left:
                self._lost[Loss.UNFINISHED] += len(left)
        if left:
            self._warn(Loss.UNFINISHED, left[0])
        return is_finished

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            self._deliver()
        finally:  # an exception that ends the thread, such as SystemExit, ends only the thread
            with self._changed:
                self._worker = None
                self._see_to_worker()

    def _deliver(self) -> None:
        while (event := self._next()) is not _NO_MORE:
            is_delivered = False
            try:
                is_delivered = self.backend.send(event) is not False
            except BaseException as error:  # third-party code
                name = name_for_log(event)
                told = describe_error(error), find_traceback(error)
                template = "backend %r failed on event %r, which it has lost: %s"
                logger.error(template, self.backend, name, told[0], exc_info=told[1])  # noqa: TRY400, no values
                if not isinstance(error, Exception):
                    raise
            finally:
                self._put_down(is_delivered=is_delivered)

    def _next(self) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return _NO_MORE
            self._in_hand = 1
            self._changed.notify_all()  # there is room for a waiting sender
            return self._waiting.popleft()

    def _put_down(self, *, is_delivered: bool) -> None:
        with self._changed:
            self._in_hand = 0
            if is_delivered:
                self._delivered += 1
            else:
                self._lost[Loss.FAILED] += 1
            self._changed.notify_all()

    def _warn(self, reason: Loss, event: Any) -> None:
        """Log losses, once a minute for each reason; without the lock, since log handlers may send."""
        now = time.monotonic()
        if now < self._warn_at.get(reason, now):
            return
        self._warn_at[reason] = now + WARN_SECONDS
        lost = f"{reason.value}: {self._lost[reason]:,}"
        logger.warning(
            "events lost so far: %s, the last %r; see the books of %r", lost, name_for_log(event), self
        )


_NO_MORE = object()


def _begin_in_child() -> None:
    forget_ends()
    for backend in living:
        backend._begin()  # noqa: SLF001, our own


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_begin_in_child)
