"""The bytes of a batch file: a header, then one record per event.

This module owns the layout and nothing else: it turns bytes into records and back, and never touches a disk.
All numbers are little-endian. A reader never trusts a length before its checksum has been verified, and what
does not verify costs only itself: reading goes on at the next record that does.

File header, 64 bytes and 16 for each parent:

| offset | bytes | what                                                                                      |
|--------|-------|-------------------------------------------------------------------------------------------|
| 0      | 8     | `EVENTPUB`                                                                                |
| 8      | 2     | format version, 2                                                                         |
| 10     | 2     | header length, a multiple of 16 from 64 to 576                                            |
| 12     | 4     | version of the wire under which the events were received, ASCII, padded with zeros        |
| 16     | 16    | batch id                                                                                  |
| 32     | 8     | time of creation, microseconds since 1970 UTC                                             |
| 40     | 20    | zero                                                                                      |
| 60     | 4     | CRC-32 of the header without these 4 bytes                                                |
| 64     | 16 n  | ids of the batches that this one is a part of, at most 32, the nearest first              |

Format 1 had no version and no parents: its files are 64 bytes with zeros there, and are sent under the
configured version.

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

from eventpub import wire
from eventpub.queue.removal import END_MARK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE_HEADER = struct.Struct("<8sHHI16sQ20xI")
HEADER_BYTES = FILE_HEADER.size
RECORD_HEADER = struct.Struct("<IIII")
MAGIC = 0x434552FF
ARMED = 0xFFFFFFFF
COMMITTED = 0x80000000
_SIGN = b"EVENTPUB"
_FORMATS = (1, 2)
_ID_BYTES = 16
MAX_PARENTS = 32  # of the nearest; each of the further ones had refused answers for as many of its parts
MAX_HEADER_BYTES = HEADER_BYTES + MAX_PARENTS * _ID_BYTES
_MAGIC_BYTES = MAGIC.to_bytes(4, "little")


class Header(NamedTuple):
    """What stands at the beginning of a batch file.

    Attributes:
        batch_id: 32 hexadecimal digits.
        created_us: microseconds since 1970 UTC.
        version: of the wire, under which the events were received; None in files of format 1.
        parents: ids of the batches that this one is a part of, the nearest first.
    """

    batch_id: str
    created_us: int
    version: str | None = None
    parents: tuple[str, ...] = ()

    def head_part(self, part_id: str) -> Header:
        """Return the header of a part of this batch."""
        return self._replace(batch_id=part_id, parents=(self.batch_id, *self.parents)[:MAX_PARENTS])


@dataclass(frozen=True, slots=True)
class Contents:
    """What a batch file holds.

    Attributes:
        header: its beginning; None if that is damaged.
        events: every event whose record is whole, in order.
        damaged: how many stretches of the file could not be read as records.
    """

    header: Header | None
    events: list[bytes]
    damaged: int

    @property
    def batch_id(self) -> str | None:
        """Return the batch's id; None if the header is damaged."""
        return self.header.batch_id if self.header else None


class Stretch(NamedTuple):
    """A part of a batch file: a record, or what cannot be read as one."""

    offset: int
    size_bytes: int
    event: bytes | None  # None for damage


def padded_size(length: int) -> int:
    """Return how many bytes a record with an event of `length` bytes takes."""
    return (RECORD_HEADER.size + length + 7) & ~7


def write_header(header: Header) -> bytes:
    """Return the bytes of the header of a batch file."""
    parents = b"".join(map(bytes.fromhex, header.parents))
    version = int.from_bytes((header.version or "").encode("ascii"), "little")
    raw_id = bytes.fromhex(header.batch_id)
    fields = (_SIGN, _FORMATS[-1], HEADER_BYTES + len(parents), version, raw_id, header.created_us)
    crc = zlib.crc32(parents, zlib.crc32(FILE_HEADER.pack(*fields, 0)[:60]))
    return FILE_HEADER.pack(*fields, crc) + parents


def new_header(version: str | None = None) -> Header:
    """Return the header of a new batch, with an id of its own."""
    return Header(wire.new_batch_id(), time.time_ns() // 1000, version)


def write_records(header: Header, events: Iterable[bytes]) -> bytes:
    """Return the bytes of a whole batch file."""
    parts = [write_header(header)]
    for event in events:
        record = RECORD_HEADER.pack(MAGIC, 0, COMMITTED | len(event), zlib.crc32(event))
        parts += (record, event, bytes(padded_size(len(event)) - RECORD_HEADER.size - len(event)))
    return b"".join(parts)


def read_header(image: bytes) -> Header | None:
    """Return the header of a batch file, or None if it is damaged.

    Args:
        image: the file, or its first `MAX_HEADER_BYTES`.
    """
    end = header_size(image)
    if len(image) < end:
        return None
    sign, format_version, length, raw_version, raw_id, created_us, crc = FILE_HEADER.unpack_from(image)
    if (sign, length) != (_SIGN, end) or format_version not in _FORMATS:
        return None
    if zlib.crc32(image[HEADER_BYTES:end], zlib.crc32(image[:60])) != crc:
        return None
    version = raw_version.to_bytes(4, "little").rstrip(b"\0").decode("ascii", "replace")
    parents = (image[at : at + _ID_BYTES].hex() for at in range(HEADER_BYTES, end, _ID_BYTES))
    return Header(raw_id.hex(), created_us, version if version in wire.VERSIONS else None, tuple(parents))


def header_size(image: bytes) -> int:
    """Return how many bytes of a batch file its header takes, as far as it says so: records follow it."""
    length = int.from_bytes(image[10:12], "little")
    is_possible = HEADER_BYTES <= length <= MAX_HEADER_BYTES and not length % _ID_BYTES
    return length if is_possible else HEADER_BYTES


def read_records(image: bytes) -> Contents:
    """Read a batch file, whole or torn, sealed or not; whatever is damaged is counted and passed over."""
    header = read_header(image)
    events: list[bytes] = []
    damaged = int(header is None)
    for stretch in scan_records(image):
        if stretch.event is None:
            damaged += 1
        else:
            events.append(stretch.event)
    return Contents(header, events, damaged)


def scan_records(image: bytes) -> Iterator[Stretch]:
    """Yield what stands behind the header of a batch file, up to where it was never written."""
    offset = header_size(image) if read_header(image) else HEADER_BYTES
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
    if event == END_MARK:  # it was killed while it emptied a removed queue
        return None, 0
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
