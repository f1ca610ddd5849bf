"""What a process may have, of files and connections that are open, and of threads: how to allow it more."""

from __future__ import annotations

import contextlib
import errno
import os

from gevent import monkey

with contextlib.suppress(ImportError):  # Windows has none, and nothing that needs it
    import resource

NO_THREAD = "no thread can be started"

_close_original = monkey.get_original("os", "close")  # gevent's closes at the next turn of the loop


def hold_standard_descriptors() -> None:
    """Open /dev/null where standard input, output or error is closed; call it before anything else is opened.

    Else a file of ours would get its number, and what a library writes to standard error would be in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def find_lack(count: int) -> OSError | None:
    """Return why this process cannot open so many files more; None if it can."""
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            try:
                fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                return error
            opened.callback(_close_original, fd)
    return None


def name_remedy(error: OSError, otherwise: str = "") -> str:
    """Return what to do about an error that says that there are no more of them; `otherwise` for others."""
    if error.errno == errno.EMFILE:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"this process may have {limit:,} files and connections open; raise LimitNOFILE= in its unit, "
            "`ulimit -n` in its shell, or `docker run --ulimit nofile=`"
        )
    if error.errno == errno.ENFILE:
        return (
            "this host has as many files open as it may; raise the sysctl fs.file-max, or end what holds them"
        )
    if error.strerror == NO_THREAD:
        return "raise TasksMax= in its unit, the container's limit of pids, or `ulimit -u`"
    return otherwise


def explain_error(error: Exception) -> str:
    """Return what an error says, and what to do where there are no more of them."""
    remedy = name_remedy(error) if isinstance(error, OSError) else ""
    words = str(error) or type(error).__name__
    return f"{words}; {remedy}" if remedy else words
