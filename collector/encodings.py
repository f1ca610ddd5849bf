"""Stage 5: encoded body -> plain body, never larger than a limit, in time linear in what was sent.

A body of a few hundred bytes can unpack to gigabytes, so nothing here unpacks without a bound: at most one byte
more than the limit exists at any time. The request is not verified yet, so the work is bounded too: a body may
have only so many gzip members or zstd frames, since each copies what follows it.
"""

from __future__ import annotations

import enum
import zlib

try:
    import zstandard
except ImportError:  # the extra zstd is not installed
    zstandard = None  # type: ignore[assignment]

ACCEPTED = ("gzip",) if zstandard is None else ("gzip", "zstd")
_ALIASES = {"x-gzip": "gzip", "": "identity"}  # RFC 9110, 8.4.1.3; proxies leave the header empty
_MAX_PARTS = 256  # 40 ms for 1 MiB of them; packers that split their work make one for every MiB
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # 16: a gzip header and nothing else
_ZSTD_MAX_WINDOW_BYTES = 8 * 1024 * 1024  # what RFC 9659 lets a sender of `zstd` use


class Damage(enum.Enum):
    """Why an encoded body has no plain one."""

    TOO_LARGE = "unpacks to more than the limit"
    BROKEN = "is damaged, truncated, in too many parts or followed by other bytes"


def find_encoding(header: str) -> str | None:
    """Return what a value of `Content-Encoding` asks for, one of `ACCEPTED` or `identity`; None for others."""
    name = header.strip(" \t,").lower()
    encoding = _ALIASES.get(name, name)
    return encoding if encoding in (*ACCEPTED, "identity") else None


def decode_body(encoding: str, body: bytes, limit_bytes: int) -> bytes | Damage:
    """Return the plain form, of at most `limit_bytes`, of a body in one of `ACCEPTED` or `identity`."""
    if encoding == "identity":
        return body if len(body) <= limit_bytes else Damage.TOO_LARGE
    return (_decode_gzip if encoding == "gzip" else _decode_zstd)(body, limit_bytes)


def _decode_gzip(body: bytes, limit_bytes: int) -> bytes | Damage:
    plain = bytearray()
    for _ in range(_MAX_PARTS):  # one turn a member; RFC 1952 allows several
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            plain += member.decompress(body, limit_bytes - len(plain) + 1)
        except zlib.error:
            return Damage.BROKEN
        if len(plain) > limit_bytes:
            return Damage.TOO_LARGE
        if not member.eof:
            return Damage.BROKEN
        body = member.unused_data
        if not body:
            return bytes(plain)
    return Damage.BROKEN


def _decode_zstd(body: bytes, limit_bytes: int) -> bytes | Damage:
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES)
    try:
        # the reader stops at a size but does not tell a truncated frame; decompressobj does the reverse
        with unpacker.stream_reader(body, read_across_frames=True) as reader:
            plain: bytes = reader.read(limit_bytes + 1)
        if len(plain) > limit_bytes:
            return Damage.TOO_LARGE
        for _ in range(_MAX_PARTS):  # one turn a frame, skippable ones included; RFC 8878 allows several
            frame = unpacker.decompressobj()
            frame.decompress(body)
            if not frame.eof:
                return Damage.BROKEN
            body = frame.unused_data
            if not body:
                return plain
    except zstandard.ZstdError:
        pass
    return Damage.BROKEN
