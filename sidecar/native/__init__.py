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
from typing import TYPE_CHECKING, NamedTuple

from eventpub.errors import DISTRIBUTION

from .state import State

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

logger = logging.getLogger(__name__)


_HERE = Path(__file__).parent


class Loops(NamedTuple):
    """What was found of the compiled loops: the library, or why there is none."""

    library: ctypes.CDLL | None
    reason: str = ""
    is_stale: bool = False  # there is one, of another version


def load_library(folder: Path = _HERE) -> ctypes.CDLL | None:
    """Return the compiled loops, or None where they were not built, or from other sources than these."""
    loops = find_loops(folder)
    if loops.is_stale:
        logger.warning("%s", loops.reason)
    return loops.library


def describe_loops() -> str:
    """Say which loops a sidecar of this installation runs: `compiled`, or `python` and why."""
    loops = find_loops(_HERE)
    return "compiled" if loops.library else f"python ({loops.reason})"


def find_loops(folder: Path) -> Loops:
    """Look for the compiled loops."""
    for path in map(folder.joinpath, (f"_loops{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES)):
        if path.exists():
            library = ctypes.CDLL(os.fspath(path))
            with contextlib.suppress(ValueError):  # a build without this symbol is an old one
                if ctypes.c_uint32.in_dll(library, "eventpub_state_bytes").value == ctypes.sizeof(State):
                    return Loops(library)
            reason = f"{path} is of another version and not used; reinstall {DISTRIBUTION}"
            return Loops(None, reason, is_stale=True)
    if (folder.resolve().parents[1] / "pyproject.toml").exists():
        return Loops(None, "a source tree: run `eventpub sidecar` as installed; this takes three times the CPU")
    return Loops(None, f"not built: install a C compiler, then {DISTRIBUTION}; this takes three times the CPU")


@contextlib.contextmanager
def lend_address(memory: mmap.mmap | bytearray) -> Iterator[int]:
    """Lend the address of a mapping or a buffer, which cannot be closed or resized until it is returned."""
    view = ctypes.c_char.from_buffer(memory)
    try:
        yield ctypes.addressof(view)
    finally:
        del view
