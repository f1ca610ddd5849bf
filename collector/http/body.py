"""The body of one request: where it ends, read within bounds of time and size, left alone where nobody asks.

What is left unread stays so: `is_finished` says it, and the connection ends with the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import gevent

from eventpub.collector.responses import RefusedError, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from .reader import Reader

_SLOWEST_BYTES_PER_SECOND = 1024  # a sender that keeps this pace is not late, however large its body
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n")
_MAX_LINE_BYTES = 8 * 1024
# size lines, extensions and trailers: as if every chunk were one byte, and once more
_FRAMING_BYTES, _FRAMING_PER_BYTE = 16 * 1024, 8
_LINES_PER_TURN = 200  # a line takes 2 µs


class Body:
    """What `wsgi.input` is.

    Args:
        reader: where it comes from.
        length_bytes: how long it is; None where it comes in chunks.
        timeout_seconds: how long it may take, beside what its bytes may take at the slowest pace.
        invite: called before the first byte is read: the sender waits for `100 Continue`.
    """

    def __init__(
        self,
        reader: Reader,
        length_bytes: int | None,
        timeout_seconds: float,
        invite: Callable[[], None] | None = None,
    ) -> None:
        self._reader = reader
        self._is_chunked = length_bytes is None
        self._left_bytes = length_bytes or 0  # of it all, or of the chunk
        self._timeout_seconds = timeout_seconds
        self._invite = invite
        self._is_begun = False
        self._framing_bytes = 0
        self._framing_lines = 0
        self.bytes_read = 0
        self.is_finished = length_bytes == 0

    def read(self, limit_bytes: int) -> bytes:
        """Return up to `limit_bytes`, fewer only at the end.

        Raises:
            RefusedError: they did not arrive in time, ended early, or make no sense.
        """
        try:
            return b"".join(self._read_pieces(limit_bytes))
        except TimeoutError:
            raise RefusedError(refuse(408, "body_timeout", "the body did not arrive in time")) from None
        except OSError as error:
            raise _bad_framing("the connection broke") from error

    def _read_pieces(self, limit_bytes: int) -> list[bytes]:
        if not self._is_begun:
            self._is_begun = True
            self._reader.begin(self._timeout_seconds, slowest_bytes_per_second=_SLOWEST_BYTES_PER_SECOND)
            if self._invite is not None:
                self._invite()
        pieces = []
        while limit_bytes and not self.is_finished:
            if not self._left_bytes:
                self._begin_chunk()
                continue
            piece = self._reader.read_some(min(limit_bytes, self._left_bytes))
            if not piece:
                raise _bad_framing("the connection ends within it")
            pieces.append(piece)
            limit_bytes -= len(piece)
            self.bytes_read += len(piece)
            self._left_bytes -= len(piece)
            if not self._left_bytes:
                self._end_piece()
        return pieces

    def _end_piece(self) -> None:
        if not self._is_chunked:
            self.is_finished = True
        elif self._read_line(len(b"\r\n")) != b"\r\n":
            raise _bad_framing("a chunk is not as long as it says")

    def _begin_chunk(self) -> None:
        size = _CHUNK_SIZE.fullmatch(self._read_line())
        if size is None:
            raise _bad_framing("a chunk does not begin with its size")
        self._left_bytes = int(size[1], 16)
        if self._left_bytes:
            return
        while (line := self._read_line()) != b"\r\n":
            if not _TRAILER.fullmatch(line):
                raise _bad_framing("a trailer is not NAME: VALUE")
        self.is_finished = True

    def _read_line(self, limit_bytes: int = _MAX_LINE_BYTES) -> bytes:
        line = self._reader.read_line(limit_bytes)
        self._framing_bytes += len(line)
        self._framing_lines += 1
        if self._framing_bytes > _FRAMING_BYTES + _FRAMING_PER_BYTE * self.bytes_read:
            raise _bad_framing("its chunks hold next to nothing")
        if self._framing_lines % _LINES_PER_TURN == 0:
            gevent.sleep(0)
        return line

    def _discard(self) -> None:
        """Leave the rest: pywsgi calls this after every answer."""


def _bad_framing(reason: str) -> RefusedError:
    return RefusedError(refuse(400, "bad_framing", f"the body cannot be read: {reason}"))
