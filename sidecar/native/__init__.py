"""The compiled half: what runs once per event, as plain C behind ctypes, and the Python side of its interface.

`receive.c` fills a mapped batch file, `pack.c` joins the events of one, `crc32.c` serves both. None includes
Python.h, and each call releases the interpreter's lock. A build is optional: `receive.loop_python` and
`delivery.pack` do the same in Python, at three times the CPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.machinery
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.errors import DISTRIBUTION

from .state import State

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

logger = logging.getLogger(__name__)


def load_library(folder: Path = Path(__file__).parent) -> ctypes.CDLL | None:
    """Return the compiled loops, or None if they were not built, or built from other sources."""
    for path in map(folder.joinpath, (f"_loops{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES)):
        if path.exists():
            library = ctypes.CDLL(os.fspath(path))
            with contextlib.suppress(ValueError):  # a build without this symbol is an old one
                if ctypes.c_uint32.in_dll(library, "eventpub_state_bytes").value == ctypes.sizeof(State):
                    return library
            logger.warning("%s is of another version and not used; reinstall %s", path, DISTRIBUTION)
    return None


@contextlib.contextmanager
def lend_address(memory: mmap.mmap | bytearray) -> Iterator[int]:
    """Lend the address of a mapping or a buffer, which cannot be closed or resized meanwhile."""
    view = ctypes.c_char.from_buffer(memory)
    try:
        yield ctypes.addressof(view)
    finally:
        del view
