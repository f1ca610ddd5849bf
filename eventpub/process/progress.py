"""What a stage of a process did last, what it is doing now, and since when.

Whether a stage is stuck shows only here: a disk that hangs keeps one thread in the kernel while every loop
still turns. A note costs half a microsecond, and is made per batch. Native threads and greenlets both make
them, so each note is one operation of a dict or an attribute.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from gevent import monkey

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

PULSE_SECONDS = 0.25  # a loop notes that it turns so often: as the watchdog looks, at the shortest timeout

_SHOWN_CALLS = 4

_get_thread = monkey.get_original("_thread", "get_ident")  # gevent's is the greenlet's


class Stage:
    """One stage.

    Args:
        name: of the stage.
        clock: monotonic seconds.

    Attributes:
        last: what it did last, in words; empty if nothing yet.
        last_at: when, in the clock's seconds.
        count: how often it did anything.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.last = ""
        self.last_at: float | None = None
        self.count = 0
        self._clock = clock
        self._steps: dict[Step, None] = {}

    def did(self, what: str) -> None:
        """Note a step that is done."""
        self.last = what
        self.last_at = self._clock()
        self.count += 1

    def doing(self, what: str, allowed_seconds: float = 0.0) -> Step:
        """Return a context for a step that may hang.

        Args:
            what: the step, fit to stand behind "is".
            allowed_seconds: how long it may take besides what any step may.
        """
        return Step(self, what, self._clock() + allowed_seconds)

    def age_seconds(self) -> float | None:
        """Return how long ago it did anything; None if it never did."""
        return None if self.last_at is None else max(0.0, self._clock() - self.last_at)

    def overdue(self) -> Step | None:
        """Return the step that has taken longest, if it takes more time than it is allowed as such."""
        step = min(list(self._steps), key=lambda step: step.begun_at, default=None)
        return step if step is not None and step.begun_at <= self._clock() else None

    def longest(self) -> tuple[str, float] | None:
        """Return what it has been doing for longest, and for how many seconds beyond what is allowed."""
        first = min(list(self._steps), key=lambda step: step.begun_at, default=None)
        if first is None:
            return None
        return first.what, max(0.0, self._clock() - first.begun_at)

    def stands_at(self) -> object:
        """Return what stays equal as long as it makes no progress; None while it need not make any."""
        return self.overdue()

    def describe(self) -> str:
        """Return what it is doing, fit to stand behind "it has been"."""
        longest = self.longest()
        return longest[0] if longest else "in one call"

    def enter(self, step: Step) -> None:
        """Note a step that begins."""
        self._steps[step] = None

    def leave(self, step: Step) -> None:
        """Note its end."""
        self._steps.pop(step, None)
        self.did(step.what)


class Step:
    """One step of a stage, from its beginning to its end."""

    __slots__ = ("_stage", "begun_at", "what")

    def __init__(self, stage: Stage, what: str, begun_at: float) -> None:
        self._stage = stage
        self.what = what
        self.begun_at = begun_at

    def __enter__(self) -> None:
        self._stage.enter(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage.leave(self)


class Loop(Stage):
    """A loop that always turns; made in its own thread.

    Args:
        name: of the loop.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name, clock)
        self._thread = _get_thread()

    def stands_at(self) -> object:
        """Return how often it turned."""
        return self.count

    def describe(self) -> str:
        """Return the call that keeps it from turning."""
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001, documented for this, and there is no other
        return f"in one call ({_describe_calls(frame)})"


def _describe_calls(frame: FrameType | None) -> str:
    """Return the innermost calls, the innermost first."""
    calls: list[str] = []
    while frame is not None and len(calls) < _SHOWN_CALLS:
        calls.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(calls)
