"""How other files take the place of a batch: all of them at one stroke, whenever the process is killed.

They are written into a folder beside it, `NNN.splitting`. One rename makes that `NNN.split`, and from then on
they are what counts. Then the batch goes, they are moved to where they belong, and the folder goes. The next
start throws away the first kind of folder, and finishes with the second.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import dead_letters, records
from .batch import SEALED_SUFFIX, Batch, sealed_path, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .disk import Disk
    from .records import Header

logger = logging.getLogger(__name__)

SPLITTING_SUFFIX = ".splitting"
SPLIT_SUFFIX = ".split"
CUT_SUFFIX = ".cut"


@dataclass(frozen=True, slots=True)
class Part:
    """A batch that takes over some of another one's events."""

    sequence: int
    header: Header
    events: list[bytes]


class Staging:
    """What is put in the place of the batches of one slot.

    Args:
        directory: the slot's folder.
        dead: where dead letters go.
        disk: the file system.
        fsync: have files on the disk before they get their names.
    """

    def __init__(self, directory: Path, dead: Path, disk: Disk, *, fsync: bool) -> None:
        self._directory = directory
        self._dead = dead
        self._disk = disk
        self._fsync = fsync

    def restore(self) -> None:
        """Finish what was interrupted, or throw it away.

        Raises:
            OSError: the disk failed; call it again.
        """
        for unfinished in self._directory.glob(f"*{SPLITTING_SUFFIX}"):
            logger.info("discarding an unfinished split file=%s", unfinished.name)
            self._discard(unfinished)
        for finished in sorted(self._directory.glob(f"*{SPLIT_SUFFIX}")):
            logger.info("completing an interrupted split file=%s", finished.name)
            self._take_over(finished)

    def replace(
        self, batch: Batch, parts: Sequence[Part], letters: Mapping[str, bytes], *, cut: int = 0
    ) -> list[Batch]:
        """Put parts and dead letters in the place of a batch; a process killed meanwhile leaves it or them.

        Args:
            batch: what goes.
            parts: the batches that come.
            letters: names and bytes of the dead letters that come.
            cut: how many of its events are lost, for the next start to count.

        Raises:
            OSError: the disk failed; before the parts were finished, the batch is as it was.
        """
        staging = self._directory / f"{batch.sequence:012d}{SPLITTING_SUFFIX}"
        finished = staging.with_suffix(SPLIT_SUFFIX)
        self._discard(staging)  # an earlier try may have failed to
        try:
            self._disk.make_directory(staging)
            for part in parts:
                self._write(staging, part)
            for name, letter in letters.items():
                write_file(self._disk, staging / name, letter, fsync=self._fsync)
            if cut:
                name = f"{batch.sequence:012d}.{cut}{CUT_SUFFIX}"
                write_file(self._disk, staging / name, b"", fsync=self._fsync)
            self._disk.rename(staging, finished)
        except OSError:
            with contextlib.suppress(OSError):
                self._discard(staging)
            raise
        try:  # from here on the parts are what counts; the next start finishes what fails now
            if self._fsync:
                self._disk.sync_directory(self._directory)
            self._disk.remove(batch.path)
            self._take_over(finished)
        except OSError as error:
            logger.warning(
                "parts stay in a folder of their own for now folder=%s error=%s", finished.name, error
            )
        paths = [sealed_path(self._directory, part.sequence, len(part.events)) for part in parts]
        return [Batch.at(path if path.exists() else finished / path.name) for path in paths]

    def add(self, part: Part) -> Batch:
        """Write a batch that replaces none.

        Raises:
            OSError: the disk failed; there is no such batch.
        """
        return Batch.at(self._write(self._directory, part))

    def _write(self, directory: Path, part: Part) -> Path:
        path = sealed_path(directory, part.sequence, len(part.events))
        image = records.write_records(part.header, part.events)
        write_file(self._disk, path, image, fsync=self._fsync)
        return path

    def _discard(self, staging: Path) -> None:
        if staging.exists():
            for path in staging.iterdir():
                self._disk.remove(path)
            self._disk.remove_directory(staging)

    def _take_over(self, finished: Path) -> None:
        for parent in self._directory.glob(f"{finished.stem}.*{SEALED_SUFFIX}"):
            self._disk.remove(parent)
        for path in sorted(finished.iterdir()):
            home = self._dead if path.suffix == dead_letters.SUFFIX else self._directory
            self._disk.rename(path, home / path.name)
        if self._fsync:  # before the folder they come from may be gone
            self._disk.sync_directory(self._dead)
        self._disk.remove_directory(finished)
