"""How much the files of one folder may take together: the dead letters of a queue, or its damaged files.

Operators and other sidecars of the queue add and remove files too, so only the folder itself shows how much is
left. It is measured again if it has changed, when something does not fit or a second has passed.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS_SECONDS = 1.0  # how long what other sidecars of the queue add may go unnoticed
_TICK_NS = 1_000_000_000  # file systems count in units of 4 ms to 1 s


class Quota:
    """The free part of a folder's limit.

    Args:
        directory: the folder.
        max_bytes: the most that its files may take together.

    Raises:
        OSError: the folder cannot be read.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._promised_bytes = 0
        self._measured_ns: int | None = None  # when the folder had last changed; None to measure anyway
        self._measure()

    def take(self, size_bytes: int) -> bool:
        """Reserve bytes for a file that is written next; return False if too few are left.

        Raises:
            OSError: the folder cannot be read.
        """
        is_old = time.monotonic() > self._measured_at + _OTHERS_SECONDS
        if (size_bytes > self._left_bytes or is_old) and self._changed_ns() != self._measured_ns:
            self._measure()
        if size_bytes > self._left_bytes:
            return False
        self._left_bytes -= size_bytes
        self._promised_bytes += size_bytes
        return True

    def settle(self) -> None:
        """Note that the reserved bytes are in the folder now, or never will be."""
        if self._promised_bytes:
            self._promised_bytes = 0
            self._measured_ns = None

    def _measure(self) -> None:
        self._measured_at = time.monotonic()
        changed_ns = self._changed_ns()  # first: what changes meanwhile is seen the next time
        # and so is what changes now, in the same tick of the file system's clock
        self._measured_ns = changed_ns if time.time_ns() - changed_ns > _TICK_NS else None
        taken_bytes = self._promised_bytes
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # dropped or sent again meanwhile
                taken_bytes += path.stat().st_size
        self._left_bytes = self._max_bytes - taken_bytes

    def _changed_ns(self) -> int:
        return self._directory.stat().st_mtime_ns
