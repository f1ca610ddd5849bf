"""What `/tap` sends: frames of a kind (one byte), the length of what follows (4 bytes, big-endian), and that.

| kind | what follows                                                              |
|------|---------------------------------------------------------------------------|
| `v`  | the version of the wire of the events from here on; empty if not known    |
| `e`  | an event, byte for byte as it came from the queue                         |
| `l`  | how many events were left out here since the reader was slow, in digits   |
| `a`  | nothing: the sidecar is alive, and is told so if the reader is not        |
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION, EVENT, LOST, ALIVE = b"v", b"e", b"l", b"a"
ALIVE_SECONDS = 5.0  # between two signs of life

_HEAD = struct.Struct(">cI")


class Frame(NamedTuple):
    """One frame."""

    kind: bytes
    content: bytes


def write_frame(kind: bytes, content: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return _HEAD.pack(kind, len(content)) + content


def write_events(version: str | None, events: Sequence[bytes]) -> bytes:
    """Return the frames of the events of a batch."""
    pieces = [write_frame(VERSION, (version or "").encode())]
    for event in events:
        pieces += (_HEAD.pack(EVENT, len(event)), event)
    return b"".join(pieces)


class FrameReader:
    """Takes a stream apart, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._waiting = b""

    def read(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with this piece."""
        data, offset = self._waiting + piece, 0
        while offset + _HEAD.size <= len(data):
            kind, length = _HEAD.unpack_from(data, offset)
            end = offset + _HEAD.size + length
            if end > len(data):
                break
            yield Frame(kind, data[offset + _HEAD.size : end])
            offset = end
        self._waiting = data[offset:]
