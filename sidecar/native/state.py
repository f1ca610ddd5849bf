"""One batch file while it fills, as Python and `receive.c` both see it."""

from __future__ import annotations

import ctypes


class State(ctypes.Structure):
    """One batch file while it fills; `receive.c` has the same struct.

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
