"""The head of one request: its line and its headers, within bounds, with one reading of where the body ends."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from eventpub.collector.responses import RefusedError, refuse

if TYPE_CHECKING:
    from email.message import Message

    from .reader import Reader

_MAX_HEADERS = 100  # what http.client parses
_REQUEST_LINE = re.compile(rb"[A-Z]{1,32} [\x21-\x7e]+ HTTP/1\.[01]\r?\n")
_HEADER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r?\n")
_LENGTH = re.compile(r"[0-9]{1,15}")
_ABSOLUTE = re.compile(r"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)
_SCHEME = re.compile(r"https?:", re.IGNORECASE)


class HeadReader:
    """Reads one head, line by line.

    Args:
        reader: where it comes from; its deadline is that of the head.
        limit_bytes: how long the head may be.
    """

    def __init__(self, reader: Reader, limit_bytes: int) -> None:
        self._reader = reader
        self._limit_bytes = self._room_bytes = limit_bytes

    def read_request_line(self) -> str:
        """Return the first line.

        Raises:
            RefusedError: there is none; so do the others.
        """
        line = self._read_line()
        if not _REQUEST_LINE.fullmatch(line):
            raise RefusedError(refuse(400, "bad_request_line", "expected METHOD PATH HTTP/1.1"))
        return line.decode("ascii")

    def read_headers(self) -> io.BytesIO:
        """Return the lines of the headers, with the empty one at their end."""
        lines: list[bytes] = []
        while (line := self._read_line()) not in (b"\r\n", b"\n"):
            if not _HEADER_LINE.fullmatch(line):
                raise RefusedError(refuse(400, "bad_header", f"header {len(lines) + 1} is not NAME: VALUE"))
            lines.append(line)
        if len(lines) > _MAX_HEADERS:
            raise RefusedError(refuse(431, "too_many_headers", f"more than {_MAX_HEADERS} headers"))
        return io.BytesIO(b"".join([*lines, b"\r\n"]))

    def _read_line(self) -> bytes:
        line = self._reader.read_line(self._room_bytes + 1)
        self._room_bytes -= len(line)
        if self._room_bytes < 0:
            reason = f"request line and headers exceed {self._limit_bytes:,} bytes"
            raise RefusedError(refuse(431, "head_too_large", reason))
        if not line.endswith(b"\n"):
            raise RefusedError(refuse(400, "bad_head", "the request ends within its head"))
        return line


def check_framing(headers: Message, version: str) -> None:
    """Refuse headers from which two readers could take different bodies; `version` is as in `HTTP/1.1`.

    Raises:
        RefusedError: they are such.
    """
    lengths = headers.get_all("content-length", [])
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise RefusedError(refuse(400, "bad_length", "Content-Length is not one whole number"))
    encodings = headers.get_all("transfer-encoding", [])
    if (
        encodings and version == "HTTP/1.0"
    ):  # to a reader of that, there is no body, and another request follows
        raise RefusedError(refuse(400, "bad_framing", "Transfer-Encoding takes HTTP/1.1"))
    if encodings and (lengths or [encoding.lower() for encoding in encodings] != ["chunked"]):
        raise RefusedError(
            refuse(400, "bad_framing", "Transfer-Encoding takes chunked, without Content-Length")
        )


def split_target(method: str, target: str) -> tuple[str, str | None]:
    """Return a request's path with its query, and the host where the target names it (RFC 9112, 3.2.2).

    Raises:
        RefusedError: the target is a URL without a host.
    """
    if not _SCHEME.match(target):
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        reason = "expected METHOD PATH HTTP/1.1, or a URL in the path's place"
        raise RefusedError(refuse(400, "bad_request_line", reason))
    host, path = absolute.groups()
    if not path:
        path = "*" if method == "OPTIONS" else "/"
    return f"/{path}" if path[0] == "?" else path, host
