"""The stages of the sidecar, and what each of them notes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from eventpub.process.progress import Loop, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

HUNG_SECONDS = 10.0  # a step of a stage that takes longer is told as hung; a busy disk takes a tenth


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
        self.loop = Loop("loop", clock)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return all of them."""
        return self.receive, self.seal, self.deliver, self.store, self.loop
