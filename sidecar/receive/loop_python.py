"""The receive loop of `native/receive.c` in Python, for installations without a compiler."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import struct
import time
import zlib
from typing import TYPE_CHECKING

from gevent.monkey import get_original

from eventpub.queue.removal import END_MARK
from eventpub.sidecar.native import lend_address
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import MADV_POPULATE_WRITE

from .loop import Ended, has_room

if TYPE_CHECKING:
    from eventpub.sidecar.native.state import State

_CHECKED_BYTES = 32 * 1024  # of the messages of one wake-up, at a cost of a microsecond
_LENGTH = _CRC = _MARK = struct.Struct("<I")


class _CutError(Exception):
    """Pages of the batch file are gone."""


class PythonLoop:
    """The loop in Python, which needs no compiler."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._mq_receive = libc.mq_receive
        self._mq_receive.restype = ctypes.c_ssize_t
        self._mq_receive.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]

    def receive(self, state: State, memory: mmap.mmap) -> Ended:
        """Receive as `Loop` says."""
        woken = get_original("select", "poll")()
        woken.register(state.wake_fd, select.POLLIN)
        either = get_original("select", "poll")()
        either.register(state.wake_fd, select.POLLIN)
        either.register(state.queue_fd, select.POLLIN)
        drained_ns = 0
        with lend_address(memory) as state.map:
            while True:
                try:
                    taken, marks = self._drain(state, memory)
                except _CutError:
                    return Ended.CUT
                if marks and state.wait:
                    return Ended.REMOVED
                if not has_room(state):
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

    def _drain(self, state: State, memory: mmap.mmap) -> tuple[int, int]:
        """Take what is in the queue; return how many messages that were, and how many end marks."""
        taken = marks = 0
        _check_pages(memory, state.offset, state.message_size)
        while has_room(state):
            offset = state.offset
            start = offset + records.RECORD_HEADER.size
            records.RECORD_HEADER.pack_into(memory, offset, records.MAGIC, records.ARMED, 0, 0)
            for page in (
                *range(start, start + state.message_size - 1, mmap.PAGESIZE),
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
                if number == errno.EFAULT:  # the kernel had no page to put it in, and has let it go
                    state.events += 1
                    raise _CutError
                raise OSError(number, os.strerror(number))
            if memory[start : start + length] == END_MARK and os.fstat(state.queue_fd).st_nlink == 0:
                _MARK.pack_into(memory, offset + 4, records.ARMED)
                marks += 1
                continue
            crc = zlib.crc32(memory[start : start + length])
            _CRC.pack_into(memory, offset + 12, crc)
            _LENGTH.pack_into(memory, offset + 8, records.COMMITTED | length)
            state.offset += records.padded_size(length)
            state.body += length + 1
            state.events += 1
            if state.events == 1:
                state.first_ns = time.monotonic_ns()
            taken += 1
        return taken, marks


def _check_pages(memory: mmap.mmap, offset: int, message_size: int) -> None:
    """Check that the pages of the next messages are there: touching one that is gone would end the process.

    That is one call for all messages of a wake-up; a page may still vanish within these few microseconds.

    Raises:
        _CutError: pages are gone.
    """
    first = offset - offset % mmap.PAGESIZE
    last = min(len(memory), offset + _CHECKED_BYTES + message_size)
    try:
        memory.madvise(MADV_POPULATE_WRITE, first, last - first)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of Linux before 5.14, where nothing can be checked
            raise _CutError from error


def _left_ms(state: State) -> float | None:
    if not state.events:
        return None
    return (state.first_ns + state.max_age_ns - time.monotonic_ns()) / 1e6
