"""A file system of its own for the spool, which is full for a moment and then has room again.

It is a tmpfs that only the nursery and what it starts see. An ordinary user makes it in a user namespace, where
the sidecars then run as that namespace's root.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SIZE_BYTES = 96 * 1024**2  # poison of half an hour takes 30 MB
_PIECE_BYTES = 64 * 1024


class SmallDisk:
    """The disk at a path.

    Args:
        path: a folder; what is in it is hidden.

    Attributes:
        prefix: the words before the command of the process that mounts it.
        refusal: why this user cannot have one; empty if it can.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner = 0
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = f'mount -t tmpfs -o size={_SIZE_BYTES},mode=700 none "{path}" && exec "$@"'
        self.prefix = ["unshare", *user, "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
        tried = subprocess.run([*self.prefix, "true"], capture_output=True, text=True, check=False)
        self.refusal = tried.stderr.strip() or f"code {tried.returncode}" if tried.returncode else ""

    def belongs_to(self, pid: int) -> Path:
        """Say which process has mounted it; return the path by which others see it."""
        self._owner = pid
        return self._seen

    @contextlib.contextmanager
    def full(self, free_bytes: int) -> Iterator[None]:
        """Have room for so much more and nothing beyond that, in the context."""
        filler = self._seen / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                with contextlib.suppress(OSError):
                    while file.write(bytes(_PIECE_BYTES)) == _PIECE_BYTES:
                        pass
                file.truncate(max(0, file.tell() - free_bytes))
            yield
        finally:
            filler.unlink()

    @property
    def _seen(self) -> Path:
        return Path(f"/proc/{self._owner}/root{self._path}")
