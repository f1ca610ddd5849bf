"""What each stage of the sidecar did last, what it is doing now, and since when.

Whether a stage is stuck shows only here: a disk that hangs keeps one thread in the kernel while every loop
still turns. A note costs half a microsecond, and is made per batch. Native threads and greenlets both make
them, so each note is one operation of a dict or an attribute.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

HUNG_SECONDS = 10.0  # a step of a stage that takes longer is told as hung; a busy disk takes a tenth


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


class Progress:
    """The stages, in the order of the pipeline.

    Attributes:
        receive: messages into the open batch file.
        seal: batch files made, finished and written to the disk.
        deliver: attempts.
        store: batch files read, split and removed.
        loop: the hub, on which all but the native threads runs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.receive = Stage("receive", clock)
        self.seal = Stage("seal", clock)
        self.deliver = Stage("deliver", clock)
        self.store = Stage("store", clock)
        self.loop = Stage("loop", clock)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return all of them."""
        return self.receive, self.seal, self.deliver, self.store, self.loop
