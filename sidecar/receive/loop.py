"""The loop that runs once per event: kernel queue -> mapped batch file; and the rule that closes a batch.

It exists twice with the same behaviour, as C in `native/receive.c` (1.5 us an event, used if it was built) and
as Python in `loop_python` (8 us); `Loop` is their interface.

A message goes from the kernel straight into the file: `mq_receive` is given an address inside the shared
mapping, so a killed process leaves the event in the file, not in its own memory. The pages behind the address
must be resident, or the kernel loses the message when the process is killed meanwhile, so each is touched just
before each call.

Pages vanish if the file is truncated, and where a file system does not keep what it reserved (one that
copies on write, and is full). The burst then ends as CUT, and what is left of the file is sealed. A message
that had left the queue and found no page is lost: it counts as one of the batch's events, and is found missing
when the batch is read.

The calls block, and run outside the interpreter's lock: they belong in a thread that does nothing else.

A burst that finds the end mark of a removed queue (`eventpub.queue.removal`) ends with REMOVED; one that does
not wait takes what is left between the marks.

The rule: a batch is FULL when one more message of the queue's size might not fit into its container or its
file, AGED when its first event has waited for `max_age_ns`. `has_room` is the first half, for both loops. A
batch takes one message whatever its size: the limit may be smaller than what a queue made by others holds.
"""

from __future__ import annotations

import ctypes
import enum
import os
from typing import TYPE_CHECKING, Protocol

from eventpub.sidecar.native import lend_address, load_library
from eventpub.sidecar.native.state import State
from eventpub.sidecar.spool import records

if TYPE_CHECKING:
    import mmap


_MIN_GATHER = 3  # messages


class Ended(enum.IntEnum):
    """Why a burst ended."""

    FULL = 0
    AGED = 1
    WOKEN = 2
    EMPTY = 3
    FAILED = 4
    REMOVED = 5
    CUT = 6


class Loop(Protocol):
    """The seam between the compiled loop and the one in Python."""

    def receive(self, state: State, memory: mmap.mmap) -> Ended:
        """Receive messages into `memory` from `state.offset` on, and advance `state`.

        Raises:
            OSError: the queue cannot be read; messages received before are in the file.
        """


def has_room(state: State) -> bool:
    """Tell whether one more message of the queue's size fits for certain; `receive.c` has the same."""
    fits_body = not state.events or state.body + state.message_size + 1 <= state.body_limit
    return fits_body and state.offset + records.RECORD_HEADER.size + state.message_size <= state.size


def plan_gathering(max_messages: int) -> tuple[int, int]:
    """Return how many messages of a busy queue to take at a wake-up, and how many nanoseconds to wait for them.

    A quarter of the queue leaves room for bursts, and fills during the wait at 25,000 events a second. For a
    queue so short that waiting would cost more than it saves, there is no wait.
    """
    messages = max_messages // 4
    return (messages, min(messages * 40_000, 10_000_000)) if messages >= _MIN_GATHER else (0, 0)


def compiled_loop() -> CompiledLoop | None:
    """Return the loop in C, or None where it was not built."""
    library = load_library()
    return CompiledLoop(library) if library else None


class CompiledLoop:
    """`native/receive.c`.

    Args:
        library: what `native.load_library` returned.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._receive = library.eventpub_receive
        self._receive.argtypes = [ctypes.POINTER(State)]

    def receive(self, state: State, memory: mmap.mmap) -> Ended:
        """Receive as `Loop` says."""
        with lend_address(memory) as state.map:
            ended = Ended(self._receive(state))
        if ended is Ended.FAILED:
            raise OSError(state.error, os.strerror(state.error))
        return ended
