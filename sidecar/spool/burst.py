"""The two loops that run once per event: receive a burst into a mapped batch file, pack a batch file.

Both exist twice, as C in `native/` (1.5 and 0.5 us an event, used where an extension could be built) and as
Python here (8 and 6 us), and behave alike: `Loops` names the seam, `compiled()` and `interpreted()` return one.

A message goes from the kernel straight into the file: `mq_receive` is given an address inside the shared
mapping, so a killed process leaves the event in the file, not in its own memory. The pages behind the address
must be resident, or the kernel loses the message when the process is killed meanwhile, so each is touched just
before each call.

The calls block, and run outside the interpreter's lock: they belong in a thread that does nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import importlib.machinery
import logging
import os
import re
import select
import struct
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gevent.monkey import get_original

from eventpub.sidecar.spool import records

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

_PAGE = 4096
_LENGTH = _CRC = struct.Struct("<I")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


class Ended(enum.IntEnum):
    """Why a burst ended."""

    FULL = 0
    AGED = 1
    WOKEN = 2
    EMPTY = 3
    FAILED = 4


class State(ctypes.Structure):
    """One batch file while it fills; `native/receive.c` has the same struct.

    Attributes:
        queue_fd: the queue, in non-blocking mode.
        wake_fd: an eventfd; a write to it ends the burst with WOKEN.
        wait: 1 to wait for messages until the batch is full or aged, 0 to end with EMPTY instead.
        message_size: the queue's message size in bytes.
        size: bytes of the mapping.
        offset: bytes used so far.
        body: bytes the events will take in a container, commas included.
        body_limit: the most that `body` may become.
        gather: messages that shall gather in the queue before they are taken, so that one wake-up serves many:
            the wait is as long as that takes at the rate just seen. 0 waits for the next message.
        max_pause_ns: nanoseconds to let messages gather in at most; half of it where the rate is not known.
        max_age_ns: nanoseconds from the first event until the batch is aged.
        first_ns: CLOCK_MONOTONIC of the first event.
    """

    queue_fd: int
    wake_fd: int
    wait: int
    error: int
    message_size: int
    events: int
    size: int
    offset: int
    body: int
    body_limit: int
    gather: int
    max_pause_ns: int
    max_age_ns: int
    first_ns: int

    _fields_ = [
        ("queue_fd", ctypes.c_int32),
        ("wake_fd", ctypes.c_int32),
        ("wait", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("message_size", ctypes.c_uint32),
        ("events", ctypes.c_uint32),
        ("map", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("body", ctypes.c_uint64),
        ("body_limit", ctypes.c_uint64),
        ("gather", ctypes.c_int64),
        ("max_pause_ns", ctypes.c_int64),
        ("max_age_ns", ctypes.c_int64),
        ("first_ns", ctypes.c_int64),
    ]


class Loops(Protocol):
    """The seam between the compiled and the interpreted loops."""

    def receive(self, state: State, memory: mmap.mmap) -> Ended:
        """Receive messages into `memory` from `state.offset` on, and advance `state`.

        Raises:
            OSError: the queue cannot be read; messages received before are in the file.
        """

    def pack(self, image: bytes) -> tuple[bytes | memoryview, int] | None:
        """Join the events of a batch file by commas.

        Returns:
            The joined events, valid until the next call, and their number; None if any record is damaged, torn
            or not exactly one JSON object, in which case `records.read` and `is_one_object` tell which.
        """


def is_one_object(event: bytes) -> bool:
    """Tell whether `event` is one JSON object and nothing around it, as far as strings and brackets tell.

    What is not could end its container early or reach into a neighbour: `{"a":1},{"b":2}` or `{"a":"`. What
    is, but is no valid JSON, harms nobody else: the collector's answer finds it.
    """
    if not event.startswith(b"{") or not event.endswith((b"}", b"]")):
        return False
    if b"\\" in event:
        outside = _STRING.sub(b"", event)
        closed = b'"' not in outside
    else:  # strings are what stands between each odd quote and the next; a quarter of the time
        pieces = event.split(b'"')
        outside = b"".join(pieces[::2])
        closed = len(pieces) % 2 == 1
    if not closed:
        return False
    brackets = outside.translate(None, _NO_BRACKETS)
    depth = 0
    for index, bracket in enumerate(brackets, 1):
        depth += 1 if bracket in b"{[" else -1
        if depth == 0:
            return index == len(brackets)
    return False


def compiled(folder: Path = Path(__file__).parent) -> Loops | None:
    """Return the compiled loops, or None where they were not built, or from other sources than these."""
    for path in map(folder.joinpath, (f"_burst{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES)):
        if path.exists():
            library = ctypes.CDLL(os.fspath(path))
            with contextlib.suppress(ValueError):  # a build that does not say is an old one
                if ctypes.c_uint32.in_dll(library, "eventpub_burst_bytes").value == ctypes.sizeof(State):
                    return _Compiled(library)
            logger.warning("%s is of another version and not used; install eventpub anew", path)
    return None


def interpreted() -> Loops:
    """Return the loops in Python, which need no compiler."""
    return _Interpreted(ctypes.CDLL(None, use_errno=True))


class _Compiled:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._receive = library.eventpub_receive
        self._receive.argtypes = [ctypes.POINTER(State)]
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

    def receive(self, state: State, memory: mmap.mmap) -> Ended:
        with _address(memory) as state.map:
            ended = Ended(self._receive(state))
        if ended is Ended.FAILED:
            raise OSError(state.error, os.strerror(state.error))
        return ended

    def pack(self, image: bytes) -> tuple[memoryview, int] | None:
        if len(self._buffer) < len(image):
            self._buffer = bytearray(len(image))
        events = ctypes.c_uint32()
        with _address(self._buffer) as joined:
            length = self._pack(image, len(image), records.HEADER_BYTES, joined, events)
        return None if length < 0 else (memoryview(self._buffer)[:length], events.value)


class _Interpreted:
    def __init__(self, libc: ctypes.CDLL) -> None:
        self._mq_receive = libc.mq_receive
        self._mq_receive.restype = ctypes.c_ssize_t
        self._mq_receive.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]

    def receive(self, state: State, memory: mmap.mmap) -> Ended:
        woken = get_original("select", "poll")()
        woken.register(state.wake_fd, select.POLLIN)
        either = get_original("select", "poll")()
        either.register(state.wake_fd, select.POLLIN)
        either.register(state.queue_fd, select.POLLIN)
        drained_ns = 0
        with _address(memory) as state.map:
            while True:
                taken = self._drain(state, memory)
                if not _has_room(state):
                    return Ended.FULL
                if not state.wait:
                    return Ended.EMPTY
                left_ms = _left_ms(state)
                if left_ms is not None and left_ms <= 0:
                    return Ended.AGED
                now_ns = time.monotonic_ns()
                if taken and state.gather:
                    pause_ns = state.max_pause_ns // 2
                    if drained_ns:
                        pause_ns = min(state.max_pause_ns, (now_ns - drained_ns) * state.gather // taken)
                    pause_ms = -(-pause_ns // 1_000_000)  # poll counts whole milliseconds
                    ready = woken.poll(pause_ms if left_ms is None else min(pause_ms, left_ms))
                else:
                    ready = either.poll(left_ms)
                drained_ns = now_ns if taken else 0
                if any(fd == state.wake_fd for fd, _ in ready):
                    return Ended.WOKEN

    def _drain(self, state: State, memory: mmap.mmap) -> int:
        taken = 0
        while _has_room(state):
            offset = state.offset
            start = offset + records.RECORD_HEADER.size
            records.RECORD_HEADER.pack_into(memory, offset, records.MAGIC, records.ARMED, 0, 0)
            for page in (
                *range(start, start + state.message_size - 1, _PAGE),
                start + state.message_size - 1,
            ):
                memory[page] = memory[page]
            length = self._mq_receive(
                state.queue_fd, state.map + start, state.message_size, state.map + offset + 4
            )
            if length < 0:
                number = ctypes.get_errno()
                if number == errno.EINTR:
                    continue
                if number == errno.EAGAIN:
                    break
                raise OSError(number, os.strerror(number))
            crc = zlib.crc32(memory[start : start + length])
            _CRC.pack_into(memory, offset + 12, crc)
            _LENGTH.pack_into(memory, offset + 8, records.COMMITTED | length)
            state.offset += records.padded(length)
            state.body += length + 1
            state.events += 1
            if state.events == 1:
                state.first_ns = time.monotonic_ns()
            taken += 1
        return taken

    def pack(self, image: bytes) -> tuple[bytes, int] | None:
        contents = records.read(image)
        if contents.damaged or not all(map(is_one_object, contents.events)):
            return None
        return b",".join(contents.events), len(contents.events)


@contextlib.contextmanager
def _address(memory: mmap.mmap | bytearray) -> Iterator[int]:
    """Lend the address of a mapping or a buffer, which cannot be closed or resized meanwhile."""
    view = ctypes.c_char.from_buffer(memory)
    try:
        yield ctypes.addressof(view)
    finally:
        del view


def _has_room(state: State) -> bool:
    fits_body = state.body + state.message_size + 1 <= state.body_limit
    return fits_body and state.offset + records.RECORD_HEADER.size + state.message_size <= state.size


def _left_ms(state: State) -> float | None:
    if not state.events:
        return None
    return (state.first_ns + state.max_age_ns - time.monotonic_ns()) / 1e6
