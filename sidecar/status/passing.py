"""What passes, for `eventpub tap`: the events of each batch that was just sealed, copied to all who read.

An event is shown only when it is safe in its batch file. While nobody reads, a batch costs one look at an empty
list. A reader that is slow loses whole batches and is told how many events that were; it delays neither the
sidecar nor another reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent.event import Event

from eventpub.process.listener import Reply
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import read_file

from . import frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eventpub.sidecar.spool.batch import Batch

MAX_READERS = 8  # each may have as much waiting in memory as follows
MAX_WAITING_BYTES = 4 * 1024 * 1024


class Passing:
    """Copies batches to readers.

    Args:
        alive_seconds: how often a reader gets a sign of life.
    """

    def __init__(self, alive_seconds: float = frames.ALIVE_SECONDS) -> None:
        self._alive_seconds = alive_seconds
        self._readers: list[_Reader] = []

    def show(self, batch: Batch) -> None:
        """Copy a sealed batch, whose file must still be there, to all who read."""
        if not self._readers:
            return
        try:
            contents = records.read_records(read_file(batch.path))
        except OSError:
            image = b""
        else:
            version = contents.header.version if contents.header else None
            image = frames.write_events(version, contents.events)
        for reader in self._readers:
            reader.offer(image, batch.events)

    def answer(self, _: Mapping[str, str]) -> Reply:
        """Answer `/tap`."""
        if len(self._readers) >= MAX_READERS:
            return Reply.text(f"{MAX_READERS} taps are open already; end one", 503)
        return Reply(self._stream(_Reader()), content_type="application/octet-stream")

    def _stream(self, reader: _Reader) -> Iterator[bytes]:
        self._readers.append(reader)
        try:
            yield frames.write_frame(frames.ALIVE)
            while True:
                yield reader.take(self._alive_seconds)
        finally:
            self._readers.remove(reader)


class _Reader:
    """What waits for one reader."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._lost_events = 0
        self._is_there = Event()

    def offer(self, image: bytes, events: int) -> None:
        """Give it the frames of a batch, or count its events if too much waits already or there are none."""
        if not image or (self._waiting and self._bytes + len(image) > MAX_WAITING_BYTES):
            self._lost_events += events
        else:
            if self._lost_events:
                self._waiting.append(self._tell_lost())
            self._waiting.append(image)
            self._bytes += len(image)
        self._is_there.set()

    def take(self, seconds: float) -> bytes:
        """Wait for something, or until the next sign of life is due, and return it."""
        self._is_there.wait(seconds)
        self._is_there.clear()
        taken, self._waiting, self._bytes = self._waiting, [], 0
        if self._lost_events:
            taken.append(self._tell_lost())
        return b"".join(taken) or frames.write_frame(frames.ALIVE)

    def _tell_lost(self) -> bytes:
        frame = frames.write_frame(frames.LOST, b"%d" % self._lost_events)
        self._lost_events = 0
        return frame
