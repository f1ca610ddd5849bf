"""Bounds the work in progress: bytes are lent to requests, and requests wait in line for them."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import gevent.event

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Budget:
    """A number of bytes, lent in the order of the requests.

    Args:
        limit_bytes: how many; also the largest loan.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._free_bytes = limit_bytes
        self._line: collections.deque[Loan] = collections.deque()

    @property
    def lent_bytes(self) -> int:
        """Return how many are lent."""
        return self._limit_bytes - self._free_bytes

    def borrow(self, size_bytes: int, *, patience_seconds: float) -> Loan | None:
        """Return a loan, or None if not enough bytes became free in time."""
        loan = Loan(self, size_bytes)
        self._line.append(loan)
        self._serve()
        try:
            if loan.granted.wait(patience_seconds):
                return loan
        finally:  # in time, too late, or killed
            if not loan.granted.is_set():
                self._line.remove(loan)
                self._serve()  # a smaller one may stand behind it
        return None

    def give_back(self, size_bytes: int) -> None:
        """Take bytes back, and lend them to the next in line."""
        self._free_bytes += size_bytes
        self._serve()

    def _serve(self) -> None:
        while self._line and self._line[0].size_bytes <= self._free_bytes:
            loan = self._line.popleft()
            self._free_bytes -= loan.size_bytes
            loan.granted.set()


class Loan:
    """Bytes lent to one request, until the context ends."""

    def __init__(self, budget: Budget, size_bytes: int) -> None:
        self._budget = budget
        self.size_bytes = size_bytes
        self.granted = gevent.event.Event()

    def keep(self, size_bytes: int) -> None:
        """Return the bytes above a number."""
        if size_bytes < self.size_bytes:
            surplus_bytes, self.size_bytes = self.size_bytes - size_bytes, size_bytes
            self._budget.give_back(surplus_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keep(0)
