r"""Bytes -> one HTTP answer, read to its end within bounds.

| what comes                             | what it is taken for                                              |
|----------------------------------------|-------------------------------------------------------------------|
| 1xx                                    | read past                                                         |
| EOF before the blank line              | no answer: what breaks off has not said what it means             |
| EOF in a body that has a length        | no answer                                                         |
| no HTTP status line                    | no answer, `other`                                                |
| a length or a chunk size that is none  | no answer, `malformed`                                            |
| two different lengths                  | no answer, `malformed`                                            |
| more than a bound allows               | no answer, `malformed`; a long body only ends early               |
| a header line that is none             | skipped; the connection is not used again                         |
| anything else that RFC 9112 forbids    | read as far as it is clear; the connection is not used again      |

An answer proves its connection: it may carry another request only if the answer ended exactly where it said
that it would, nothing came behind it, and nothing in it was odd.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .errors import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BODY_BYTES = 64 * 1024  # a collector's reasons fit; a page of a lost proxy need not
MAX_ANSWER_BYTES = 512 * 1024  # informational answers, headers, trailers, and a body in chunks of one byte
MAX_LINES = 1_000  # status, header and trailer lines; proxies stop at 100 or 200 for one answer

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?:[ \t].*)?", re.DOTALL)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,19}")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_HTTP = b"HTTP/1."
_TLS_ALERT = b"\x15\x03"  # what a TLS server says to a request that is none
_BODYLESS = frozenset({204, 304})
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL = 200


class Received(NamedTuple):
    """One answer, and whether its connection may carry another request."""

    status: int
    fields: Mapping[str, str]
    body: bytes
    is_reusable: bool


class _Head(NamedTuple):
    minor_version: int
    status: int
    fields: Mapping[str, str]


class AnswerReader:
    """Reads one answer.

    Args:
        receive: returns the next bytes of the connection, empty at its end.
    """

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self._position = 0  # what is before it has been read
        self._lines = 0
        self._place = "before it begins"
        self._is_odd = False

    def read(self) -> Received:
        """Return the answer, once all of it is there.

        Raises:
            NoAnswerError: it breaks off, is none, or exceeds a bound.
            OSError: whatever `receive` raises.
        """
        head = self.read_head()
        body, has_ended = self._read_body(head)
        return Received(head.status, head.fields, body, has_ended and self._is_proof(head))

    def read_head(self) -> _Head:
        """Return the first answer that is not informational, up to its blank line; raises as `read` does."""
        while True:
            head = self._read_one_head()
            if head.status >= _FIRST_FINAL:
                return head
            self._is_odd |= head.status == _SWITCHING_PROTOCOLS  # nobody asked for it

    def has_rest(self) -> bool:
        """Tell whether bytes have come that belong to nothing that was read."""
        return self._position < len(self._buffer)

    def _read_one_head(self) -> _Head:
        self._look_at_beginning()
        line = self._read_head_line()
        match = _STATUS_LINE.fullmatch(line)
        if not match:
            raise NoAnswerError("other", f"what came is no HTTP answer: {line[:60]!r}")
        status = int(match[2])
        self._place = f"in the headers of status {status}"
        return _Head(int(match[1]), status, self._read_fields())

    def _look_at_beginning(self) -> None:
        """Find out as soon as possible that this is not HTTP, since its first line may never end."""
        while len(beginning := self._buffer[self._position : self._position + len(_HTTP)]) < len(_HTTP):
            if not _HTTP.startswith(beginning):
                break
            self._fill()
        if beginning.startswith(_TLS_ALERT):
            raise NoAnswerError("other", "the other end speaks TLS: set collector.scheme = https")
        if not _HTTP.startswith(beginning):
            start = bytes(self._buffer[self._position : self._position + 60])
            raise NoAnswerError("other", f"what came is no HTTP answer: {start!r}")

    def _read_fields(self) -> dict[str, str]:
        """Read header lines up to the blank one; names in lower case, values of one name joined by commas."""
        fields: dict[str, str] = {}
        last = ""
        while line := self._read_head_line():
            name, colon, value = line.partition(b":")
            text = value.strip(b" \t").decode("latin-1")
            if line[:1] in (b" ", b"\t"):  # an obsolete way to go on with the line before
                if last:
                    fields[last] += " " + line.strip(b" \t").decode("latin-1")
                self._is_odd = True
            elif colon and _NAME.fullmatch(name.rstrip(b" \t")):
                self._is_odd |= name[-1:] in (b" ", b"\t")
                last = name.rstrip(b" \t").lower().decode("ascii")
                fields[last] = f"{fields[last]}, {text}" if last in fields else text
            else:
                last = ""
                self._is_odd = True
        return fields

    def _read_body(self, head: _Head) -> tuple[bytes, bool]:
        """Return the body, or the beginning of a long one, and whether it ended where it said."""
        self._place = f"in the body of status {head.status}"
        coding = head.fields.get("transfer-encoding", "").lower()
        codings = {word.strip() for word in coding.split(",")} - {"", "identity"}
        length = head.fields.get("content-length")
        if head.status in _BODYLESS:
            self._is_odd |= bool(codings) or (head.status != 304 and length not in (None, "0"))  # noqa: PLR2004
            return b"", True
        if codings:
            self._is_odd |= coding != "chunked" or length is not None or not head.minor_version
            if coding.rpartition(",")[2].strip() == "chunked":
                return self._read_chunks()
        elif length is not None:
            size_bytes = self._read_length(length)
            return self._read_bytes(min(size_bytes, MAX_BODY_BYTES)), size_bytes <= MAX_BODY_BYTES
        return self._read_to_eof(), False

    def _read_length(self, text: str) -> int:
        first, *others = (word.strip() for word in text.split(","))
        if not _LENGTH.fullmatch(first) or any(word != first for word in others):
            raise NoAnswerError("malformed", f"the answer has Content-Length {text[:60]!r}")
        self._is_odd |= bool(others)
        return int(first)

    def _read_chunks(self) -> tuple[bytes, bool]:
        body = bytearray()
        while True:
            size = self._read_line().partition(b";")[0].strip(b" \t")
            if not _CHUNK_SIZE.fullmatch(size):
                raise NoAnswerError("malformed", f"the answer has a chunk of size {size[:60]!r}")
            size_bytes = int(size, 16)
            if not size_bytes:
                break
            room_bytes = MAX_BODY_BYTES - len(body)
            body += self._read_bytes(min(size_bytes, room_bytes))
            if size_bytes > room_bytes:
                return bytes(body), False
            if self._read_line():
                raise NoAnswerError("malformed", "the answer has a chunk that is longer than it says")
        self._read_fields()
        return bytes(body), True

    def _is_proof(self, head: _Head) -> bool:
        """Tell whether a connection whose answer has ended may carry another request."""
        options = {word.strip() for word in head.fields.get("connection", "").lower().split(",")}
        stays = "close" not in options and (head.minor_version > 0 or "keep-alive" in options)
        return stays and not self._is_odd and not self.has_rest()

    # --- bytes

    def _read_head_line(self) -> bytes:
        self._lines += 1
        if self._lines > MAX_LINES:
            raise NoAnswerError("malformed", f"the answer has more than {MAX_LINES:,} lines of headers")
        return self._read_line()

    def _read_line(self) -> bytes:
        """Return the next line without its end, CRLF or LF."""
        start = searched = self._position
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._fill()
        self._position = end + 1
        return bytes(self._buffer[start:end]).removesuffix(b"\r")

    def _read_bytes(self, count: int) -> bytes:
        end = self._position + count
        while len(self._buffer) < end:
            self._fill()
        piece = bytes(self._buffer[self._position : end])
        self._position = end
        return piece

    def _read_to_eof(self) -> bytes:
        start = self._position
        while len(self._buffer) - start < MAX_BODY_BYTES and (more := self._receive()):
            self._buffer += more
        self._position = len(self._buffer)
        return bytes(self._buffer[start : start + MAX_BODY_BYTES])

    def _fill(self) -> None:
        if len(self._buffer) >= MAX_ANSWER_BYTES:
            raise NoAnswerError("malformed", f"the answer has more than {MAX_ANSWER_BYTES:,} bytes")
        more = self._receive()
        if not more:
            raise NoAnswerError(
                "reset", f"the connection was closed by the other end; its answer broke off {self._place}"
            )
        self._buffer += more
