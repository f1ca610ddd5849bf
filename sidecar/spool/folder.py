"""The folder of one slot: what its files mean, and how they change.

A slot holds sealed batches. Everything else in it is work that a process was killed at; `restore` finishes it
or throws it away, and can itself be killed and repeated. The package's docstring lists the names; what has
another, or is not what its name says, is set straight or set aside. No damage to a file keeps a process from
starting: it is found and counted when the batch is sent.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import dead_letters, records
from .batch import (
    OPEN_SUFFIX,
    SEALED_SUFFIX,
    TEMPORARY_SUFFIX,
    Batch,
    open_path,
    seal_left_open,
    sealed_path,
    sequence_of,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from .disk import Disk
    from .quota import Quota
    from .records import Header

logger = logging.getLogger(__name__)

# of a queue, beside its slots: dead letters, copies of what was damaged, and what a repair has changed
DEAD, DAMAGED, BACKUPS = "dead", "damaged", "repaired"
_SPLITTING_SUFFIX = ".splitting"
SPLIT_SUFFIX = ".split"
CUT_SUFFIX = ".cut"
_FILE_NAME = re.compile(r"\d{12,18}(\.[1-9]\d{0,8}\.(batch|cut)|\.open)", re.ASCII)
_BATCH_NAME = re.compile(r"\d{12,18}\.[1-9]\d{0,8}\.batch", re.ASCII)
_FOLDER_NAME = re.compile(r"\d{12,18}\.(splitting|split)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """A batch that takes over some of another one's events."""

    sequence: int
    header: Header
    events: list[bytes]


class Folder:
    """The files of one slot.

    Args:
        directory: the folder.
        dead: where dead letters go.
        damaged: where copies of damaged files go.
        disk: the file system.
        fsync: have files on the disk before they get their names.
    """

    def __init__(self, directory: Path, dead: Path, damaged: Path, disk: Disk, *, fsync: bool) -> None:
        self.directory = directory
        self._dead = dead
        self._damaged = damaged
        self._disk = disk
        self._fsync = fsync

    def batches(self) -> list[Batch]:
        """Return the sealed batches, oldest first."""
        return [Batch.at(path) for path in sorted(self.directory.glob(f"*{SEALED_SUFFIX}"), key=sequence_of)]

    def numbers(self) -> Iterator[int]:
        """Return the numbers that are free for new batches."""
        taken = (sequence_of(path) for path in self.directory.iterdir() if is_in_its_place(path))
        return itertools.count(1 + max(taken, default=0))

    def restore(self) -> None:
        """Bring the slot into a state in which it holds sealed batches only.

        Raises:
            OSError: the disk failed; call it again.
        """
        for path in sorted(self.directory.iterdir()):
            if not is_in_its_place(path):
                self._set_straight(path)
        for unfinished in self.directory.glob(f"*{_SPLITTING_SUFFIX}"):
            logger.info("splitting was interrupted, it is forgotten file=%s", unfinished.name)
            self._discard(unfinished)
        for finished in sorted(self.directory.glob(f"*{SPLIT_SUFFIX}")):
            logger.info("splitting was interrupted, it is finished file=%s", finished.name)
            self._take_over(finished)
        for path in sorted(self.directory.glob(f"*{OPEN_SUFFIX}"), key=sequence_of):
            self._seal_left_open(path)

    def take_cuts(self) -> Iterator[int]:
        """Yield how many events each repair has cut out, and forget it.

        Raises:
            OSError: the disk failed; call it again for the others.
        """
        for path in list(self.directory.glob(f"*{CUT_SUFFIX}")):
            self._disk.remove(path)
            yield int(path.name.split(".")[1])

    def keep_copy(self, path: Path, quota: Quota) -> str:
        """Keep a second name for a damaged file, if there is room; return why not, or nothing."""
        try:
            if not quota.take(path.stat().st_size):
                return f"{self._damaged} is as large as dead_letters.max_size; look at it, and remove some"
            copy = self._place_for(path)
            self._disk.remove(copy)
            self._disk.link(path, copy)
        except OSError as error:
            return str(error)
        finally:
            quota.settle()
        logger.error("spool file is damaged file=%s copy=%s", path.name, copy)
        return ""

    def adopt(self, other: Folder, sequences: Iterator[int]) -> None:
        """Take over the batches of a slot whose sidecar is gone."""
        batches = other.batches()
        for batch in batches:
            logger.info("batch of a stopped sidecar is taken over file=%s", batch.path)
            self._disk.rename(batch.path, sealed_path(self.directory, next(sequences), batch.events))
        if batches and self._fsync:  # before the next owner of that slot has it forget them
            self._disk.sync_directory(self.directory)

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
        staging = self.directory / f"{batch.sequence:012d}{_SPLITTING_SUFFIX}"
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
                self._disk.sync_directory(self.directory)
            self._disk.remove(batch.path)
            self._take_over(finished)
        except OSError as error:
            logger.warning(
                "parts stay in a folder of their own for now folder=%s error=%s", finished.name, error
            )
        paths = [sealed_path(self.directory, part.sequence, len(part.events)) for part in parts]
        return [Batch.at(path if path.exists() else finished / path.name) for path in paths]

    def add(self, part: Part) -> Batch:
        """Write a batch that replaces none.

        Raises:
            OSError: the disk failed; there is no such batch.
        """
        return Batch.at(self._write(self.directory, part))

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
        for parent in self.directory.glob(f"{finished.stem}.*{SEALED_SUFFIX}"):
            self._disk.remove(parent)
        for path in sorted(finished.iterdir()):
            home = self._dead if path.suffix == dead_letters.SUFFIX else self.directory
            self._disk.rename(path, home / path.name)
        if self._fsync:  # before the folder they come from may be gone
            self._disk.sync_directory(self._dead)
        self._disk.remove_directory(finished)

    def _seal_left_open(self, path: Path) -> None:
        try:
            image = path.read_bytes()
        except OSError as error:
            logger.error("file cannot be read file=%s error=%s", path.name, error)  # noqa: TRY400, no traceback
            self._set_aside(path)
            return
        stretches = list(records.scan_records(image))
        if stretches:
            last = stretches[-1]
            size = last.size_bytes if last.event is None else records.padded_size(len(last.event))
            batch = seal_left_open(
                self._disk, path, len(stretches), min(last.offset + size, len(image)), fsync=self._fsync
            )
            logger.info("batch left open is sealed file=%s events=%d", batch.path.name, batch.events)
        elif image.strip(b"\0") and records.read_header(image) is None:
            self._set_aside(path)
        else:
            self._disk.remove(path)

    def _set_straight(self, path: Path) -> None:
        """Give a batch file with a wrong name a right one, and move away what is no batch file."""
        is_file = stat.S_ISREG(path.lstat().st_mode)
        if is_file and path.suffix == TEMPORARY_SUFFIX:
            self._disk.remove(path)
        elif is_file and path.name.endswith((OPEN_SUFFIX, SEALED_SUFFIX)):
            proper = open_path(self.directory, next(self.numbers()))
            logger.warning("spool file has a wrong name file=%s renamed=%s", path.name, proper.name)
            self._disk.rename(path, proper)
        else:
            self._set_aside(path)

    def _set_aside(self, path: Path) -> None:
        place = self._place_for(path)
        if _BATCH_NAME.fullmatch(
            path.name
        ):  # where a batch was there is something else: its events are counted
            write_file(self._disk, path.with_suffix(CUT_SUFFIX), b"", fsync=self._fsync)
        logger.error("spool holds what does not belong there file=%s moved=%s", path.name, place)
        self._disk.rename(path, place)

    def _place_for(self, path: Path) -> Path:
        """Return where in `damaged` a file goes; its inode number keeps it from replacing another."""
        return self._damaged / f"{path.lstat().st_ino}-{self.directory.name}-{path.name}"


def is_in_its_place(path: Path) -> bool:
    """Tell whether something in a slot has one of the names of the package's docstring, and is what it says."""
    kind = path.lstat().st_mode
    if stat.S_ISDIR(kind):
        files = (child.lstat().st_mode for child in path.iterdir())
        return bool(_FOLDER_NAME.fullmatch(path.name)) and all(map(stat.S_ISREG, files))
    return stat.S_ISREG(kind) and bool(_FILE_NAME.fullmatch(path.name))
