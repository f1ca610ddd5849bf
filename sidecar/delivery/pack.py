"""Batch file -> its events, joined by commas, as a container holds them.

As C in `native/pack.c` (0.5 us an event) where it could be built, else in Python (6 us); both behave alike.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple, Protocol

from eventpub.sidecar.native import lend_address, load_library
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.framing import is_one_object


class Packed(NamedTuple):
    """The events of a batch.

    Attributes:
        joined: their bytes, with commas between them; a view is valid until the next call of the packer.
        events: how many there are.
    """

    joined: bytes | memoryview
    events: int


class Packer(Protocol):
    """The seam between the compiled packer and the one in Python."""

    def pack(self, image: bytes) -> Packed | None:
        """Join the events of a batch file.

        Returns:
            The events; None if any record is damaged, torn or not exactly one JSON object, in which case
            `records.read_records` and `is_one_object` tell which.
        """


def compiled_packer() -> CompiledPacker | None:
    """Return the packer in C, or None where it was not built."""
    library = load_library()
    return CompiledPacker(library) if library else None


class CompiledPacker:
    """`native/pack.c`.

    Args:
        library: what `native.load_library` returned.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._buffer = bytearray(1)  # kept, since fresh memory costs more than what is written to it
        self._pack = library.eventpub_pack
        self._pack.restype = ctypes.c_int64
        self._pack.argtypes = [
            ctypes.c_char_p,
            ctypes.c_uint64,
            ctypes.c_uint64,
            ctypes.c_void_p,
            ctypes.POINTER(ctypes.c_uint32),
        ]

    def pack(self, image: bytes) -> Packed | None:
        """Join as `Packer` says."""
        if len(self._buffer) < len(image):
            self._buffer = bytearray(len(image))
        events = ctypes.c_uint32()
        with lend_address(self._buffer) as joined:
            length = self._pack(image, len(image), records.header_size(image), joined, events)
        return None if length < 0 else Packed(memoryview(self._buffer)[:length], events.value)


class PythonPacker:
    """The packer in Python, which needs no compiler."""

    def pack(self, image: bytes) -> Packed | None:
        """Join as `Packer` says."""
        contents = records.read_records(image)
        if contents.damaged or not all(map(is_one_object, contents.events)):
            return None
        return Packed(b",".join(contents.events), len(contents.events))
