"""Where a sidecar answers: always on a socket beside its slot, and at `status.listen` if that is set.

The socket is `SPOOL/QUEUE/SLOT.sock`, mode 0600 in a folder that is its user's alone. Only who holds the slot's
lock makes it, so what an earlier process left there is replaced, and never the socket of a live one. Whatever
keeps it from being made, or `status.listen` from being used, is told once and tried again: events are delivered
meanwhile.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from eventpub.process.errors import ListenError
from eventpub.process.listener import ProbeListener
from eventpub.process.sockets import listen_at_path

if TYPE_CHECKING:
    from pathlib import Path

    from eventpub.process.listener import Answerer

logger = logging.getLogger(__name__)

SUFFIX = ".sock"


def socket_path(slot_directory: Path) -> Path:
    """Return where the sidecar of a slot answers."""
    return slot_directory.with_name(slot_directory.name + SUFFIX)


class Answering:
    """The listeners of one sidecar.

    Args:
        slot_directory: the folder of the slot, which this process has locked.
        public: what anybody may ask, by path.
        address: `status.listen`.

    Attributes:
        url: where `status.listen` answers; empty where it does not.
    """

    def __init__(
        self, slot_directory: Path, public: dict[str, Answerer], address: tuple[str, int] | str | None
    ) -> None:
        self.url = ""
        self._path = socket_path(slot_directory)
        self._public = public
        self._private = dict(public)
        self._address = address
        self._slots: ProbeListener | None = None
        self._listens: ProbeListener | None = None
        self._inode = 0
        self._said: set[str] = set()

    def add(self, path: str, answer: Answerer) -> None:
        """Answer one more path, on the slot's own socket only."""
        self._private[path] = answer

    def look(self) -> None:
        """Listen wherever that is wanted and not done yet; call it once a second."""
        if self._slots is None or not self._is_in_place():
            self._replace()
        if self._address is not None and self._listens is None:
            try:
                self._listens = ProbeListener(self._public, self._address)
            except ListenError as error:
                self._say(f"status.listen: {error}; trying again")
            else:
                self.url = self._listens.url
                logger.info("status is told at %s", self.url)

    def close(self) -> None:
        """Answer nobody any more, and remove the sockets' files."""
        if self._is_in_place():
            self._path.unlink(missing_ok=True)
        for listener in (self._slots, self._listens):
            if listener is not None:
                listener.close()

    def _replace(self) -> None:
        """Make the slot's socket: at the start, and again when it was removed."""
        if self._slots is not None:
            self._slots.close()
            self._slots = None
        try:
            listening = listen_at_path(self._path, is_ours=True)
            self._inode = os.lstat(self._path).st_ino
        except (ListenError, OSError) as error:
            self._say(f"eventpub status will not find this sidecar: {error}; trying again")
            return
        self._slots = ProbeListener(self._private, listening)

    def _is_in_place(self) -> bool:
        try:
            return os.lstat(self._path).st_ino == self._inode
        except OSError:
            return False

    def _say(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            logger.warning("%s", words)
