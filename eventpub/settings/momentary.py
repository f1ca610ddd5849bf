"""Which troubles of a file go away without a change to it: those are waited for."""

from __future__ import annotations

import errno

_MOMENTARY = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EINTR,
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


def is_momentary(error: OSError) -> bool:
    """Tell whether another attempt may succeed: the host lacks descriptors or memory, or a disk stumbled."""
    return error.errno in _MOMENTARY
