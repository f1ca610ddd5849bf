"""The bytes of a batch file: a header, then one record per event.

This module owns the layout and nothing else: it turns bytes into records and back, and never touches a disk.
All numbers are little-endian. A reader never trusts a length before its checksum has been verified, and what
does not verify costs only itself: reading goes on at the next record that does.

File header, 64 bytes, written once when the file is made:

| offset | bytes | what                                                        |
|--------|-------|-------------------------------------------------------------|
| 0      | 8     | `EVENTPUB`                                                  |
| 8      | 2     | format version, 1                                           |
| 10     | 2     | header length, 64                                           |
| 12     | 4     | zero                                                        |
| 16     | 16    | batch id                                                    |
| 32     | 8     | time of creation, microseconds since 1970 UTC               |
| 40     | 20    | zero                                                        |
| 60     | 4     | CRC-32 of bytes 0 to 59                                     |

Record, 16 bytes and the event, padded with zeros to a multiple of 8:

| offset | bytes | what                                                                                      |
|--------|-------|-------------------------------------------------------------------------------------------|
| 0      | 4     | FF 52 45 43; FF occurs in no UTF-8 text, so a record is found again behind damage         |
| 4      | 4     | mark: FF FF FF FF before the receive; the kernel overwrites it when it dequeues a message |
| 8      | 4     | 0x80000000 + length of the event, written last: until then the record is not committed    |
| 12     | 4     | CRC-32 of the event                                                                       |
| 16     | …     | the event, as it came from the queue                                                      |

A process killed between the receive and the commit leaves a record with an overwritten mark and no length.
Its event is all there (the kernel copied it before returning), so it is read up to its last non-zero byte:
an event is JSON and cannot end in a zero.
"""

from __future__ import annotations

import struct
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE_HEADER = struct.Struct("<8sHHI16sQ20xI")
HEADER_BYTES = FILE_HEADER.size
RECORD_HEADER = struct.Struct("<IIII")
MAGIC = 0x434552FF
ARMED = 0xFFFFFFFF
COMMITTED = 0x80000000
_SIGN = b"EVENTPUB"
_FORMAT_VERSION = 1
_MAGIC_BYTES = MAGIC.to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a batch file holds.

    Attributes:
        batch_id: 32 hexadecimal digits; None if the file header is damaged.
        created_us: microseconds since 1970 UTC; 0 if the file header is damaged.
        events: every event whose record is whole, in order.
        damaged: how many stretches of the file could not be read as records.
    """

    batch_id: str | None
    created_us: int
    events: list[bytes]
    damaged: int


class Stretch(NamedTuple):
    """A part of a batch file: a record, or what cannot be read as one."""

    offset: int
    size_bytes: int
    event: bytes | None  # None for damage


def padded_size(length: int) -> int:
    """Return how many bytes a record with an event of `length` bytes takes."""
    return (RECORD_HEADER.size + length + 7) & ~7


def file_header(batch_id: str, created_us: int | None = None) -> bytes:
    """Return the header of a new batch file; `created_us` is now unless given."""
    created_us = time.time_ns() // 1000 if created_us is None else created_us
    fields = (_SIGN, _FORMAT_VERSION, HEADER_BYTES, 0, bytes.fromhex(batch_id), created_us)
    return FILE_HEADER.pack(*fields, zlib.crc32(FILE_HEADER.pack(*fields, 0)[:60]))


def write_records(batch_id: str, events: Iterable[bytes], created_us: int | None = None) -> bytes:
    """Return the bytes of a whole batch file."""
    parts = [file_header(batch_id, created_us)]
    for event in events:
        header = RECORD_HEADER.pack(MAGIC, 0, COMMITTED | len(event), zlib.crc32(event))
        parts += (header, event, bytes(padded_size(len(event)) - RECORD_HEADER.size - len(event)))
    return b"".join(parts)


def read_header(image: bytes) -> tuple[str, int] | None:
    """Return batch id and creation time of a batch file, or None if its header is damaged."""
    if len(image) < HEADER_BYTES:
        return None
    sign, version, length, _, raw_id, created_us, crc = FILE_HEADER.unpack_from(image)
    if (sign, version, length) != (_SIGN, _FORMAT_VERSION, HEADER_BYTES) or zlib.crc32(image[:60]) != crc:
        return None
    return raw_id.hex(), created_us


def read_records(image: bytes) -> Contents:
    """Read a batch file, whole or torn, sealed or not; whatever is damaged is counted and passed over."""
    batch_id, created_us = read_header(image) or (None, 0)
    events: list[bytes] = []
    damaged = int(batch_id is None)
    for stretch in scan_records(image):
        if stretch.event is None:
            damaged += 1
        else:
            events.append(stretch.event)
    return Contents(batch_id, created_us, events, damaged)


def scan_records(image: bytes) -> Iterator[Stretch]:
    """Yield what stands behind the header of a batch file, up to where it was never written."""
    offset = HEADER_BYTES
    while offset < len(image):
        event, size = _record_at(image, offset)
        if event is None and size == 0:  # the rest was reserved and never used
            return
        yield Stretch(offset, size, event)
        offset += size


def _record_at(image: bytes, offset: int) -> tuple[bytes | None, int]:
    """Return the event at `offset` and the bytes to go on by: (None, 0) at the end, (None, n) over damage."""
    left = len(image) - offset - RECORD_HEADER.size
    if left >= 0:
        magic, mark, length, crc = RECORD_HEADER.unpack_from(image, offset)
        start = offset + RECORD_HEADER.size
        if magic == MAGIC and length & COMMITTED and length - COMMITTED <= left:
            event = image[start : start + length - COMMITTED]
            if zlib.crc32(event) == crc:
                return event, padded_size(len(event))
        elif magic == MAGIC and length == 0 and _next_record(image, start) == len(image):
            return _find_uncommitted(image, start) if mark != ARMED else (None, 0)
    if not image[offset:].strip(b"\0"):
        return None, 0
    return None, _next_record(image, offset + 8) - offset


def _find_uncommitted(image: bytes, start: int) -> tuple[bytes | None, int]:
    """Return the event of the last record of a killed process: everything up to the last non-zero byte."""
    event = image[start:].rstrip(b"\0")
    return (event, len(image)) if event else (None, 0)


def _next_record(image: bytes, offset: int) -> int:
    """Return where the next whole record begins, or the end of `image`."""
    while (offset := image.find(_MAGIC_BYTES, offset)) >= 0:
        if offset % 8 == 0 and offset + RECORD_HEADER.size <= len(image):
            _, _, length, crc = RECORD_HEADER.unpack_from(image, offset)
            start = offset + RECORD_HEADER.size
            if length & COMMITTED and zlib.crc32(image[start : start + length - COMMITTED]) == crc:
                return offset
        offset += 1
    return len(image)
