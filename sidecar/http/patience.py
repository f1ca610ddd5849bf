"""How long one attempt waits: for each step while nothing moves, and in all.

A step is given up when nothing has moved for the timeout. What moves is measured where it can be seen, in the
kernel: bytes of the request that the other end has confirmed count even while `send` or `recv` still waits, so
a slow line is not taken for a dead one. The attempt as a whole has a deadline, which grows with what it sends.
"""

from __future__ import annotations

import array
import fcntl
import termios
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

T = TypeVar("T")

DEADLINE_TIMEOUTS = 3  # connecting, sending and reading may each take their whole timeout
SLOWEST_BYTES_PER_SECOND = 1_000  # a request on a line of 8 kbit/s; what is slower is given up


class Patience:
    """The time that one attempt has, and what it is doing with it.

    Args:
        timeout_seconds: for each wait in which nothing moves.
        deadline_seconds: for the whole attempt.

    Attributes:
        phase: what the attempt is doing, fit to stand behind "while".
        is_sending: whether any of the batch may have been sent.
    """

    def __init__(self, timeout_seconds: float, deadline_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.deadline_seconds = deadline_seconds
        self.phase = "starting"
        self.is_sending = False
        self._ends_at = time.monotonic() + deadline_seconds

    def next_seconds(self) -> float:
        """Return how long the next wait may take.

        Raises:
            TimeoutError: the deadline is over.
        """
        left_seconds = self._ends_at - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError(self.explain_deadline())
        return min(self.timeout_seconds, left_seconds)

    def wait(self, connected: socket.socket, step: Callable[[], T]) -> T:
        """Do a step of sending or receiving, for as long as the other end goes on taking what was sent.

        Raises:
            TimeoutError: nothing moved for the timeout, or the deadline is over.
        """
        unconfirmed_bytes = _count_unconfirmed(connected)
        while True:
            connected.settimeout(self.next_seconds())
            try:
                return step()
            except TimeoutError:
                self.next_seconds()  # the deadline's own words, if it is that
                left_bytes = _count_unconfirmed(connected)
                if left_bytes >= unconfirmed_bytes:
                    raise TimeoutError(self.explain_timeout()) from None
                unconfirmed_bytes = left_bytes

    def explain_timeout(self) -> str:
        """Say what took too long."""
        return f"nothing came for {self.timeout_seconds:g} seconds while {self.phase}"

    def explain_deadline(self) -> str:
        """Say what the attempt was doing when its time was over."""
        seconds = round(self.deadline_seconds, 1)
        return f"the attempt took more than {seconds:g} seconds; it ended while {self.phase}"


def _count_unconfirmed(connected: socket.socket) -> int:
    """Return how many bytes the kernel holds that the other end has not confirmed."""
    count = array.array("i", [0])
    fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, count)
    return count[0]
