"""The folder of one slot: what its files mean, and how they change.

A slot holds sealed batches. Everything else in it was left by a killed process; `restore` finishes it or
discards it, and can itself be killed and repeated. The package's docstring lists the names; a file with another
name, or with content that does not match its name, is renamed or moved away. Damage to a file never keeps a
process from starting: it is found and counted when the batch is sent.
"""

from __future__ import annotations

import itertools
import logging
import re
import stat
from typing import TYPE_CHECKING

from . import records
from .batch import (
    OPEN_SUFFIX,
    SEALED_SUFFIX,
    TEMPORARY_SUFFIX,
    Batch,
    open_path,
    read_file,
    seal_left_open,
    sealed_path,
    sequence_of,
    write_file,
)
from .staging import CUT_SUFFIX, Staging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .disk import Disk
    from .quota import Quota

logger = logging.getLogger(__name__)

# besides a queue's slots: dead letters, copies of damaged files, backups of repairs, files that reserve space
DEAD, DAMAGED, BACKUPS, RESERVE = "dead", "damaged", "repaired", "reserve"
_FILE_NAME = re.compile(r"\d{12,18}(\.[1-9]\d{0,8}\.(batch|cut)|\.open)", re.ASCII)
_BATCH_NAME = re.compile(r"\d{12,18}\.[1-9]\d{0,8}\.batch", re.ASCII)
_FOLDER_NAME = re.compile(r"\d{12,18}\.(splitting|split)", re.ASCII)


class Folder:
    """The files of one slot.

    Args:
        directory: the folder.
        dead: where dead letters go.
        damaged: where copies of damaged files go.
        disk: the file system.
        fsync: have files on the disk before they get their names.

    Attributes:
        staging: what is put in the place of a batch.
        unread: files left open that could not be read so far, and why; `restore_unread` tries again.
    """

    def __init__(self, directory: Path, dead: Path, damaged: Path, disk: Disk, *, fsync: bool) -> None:
        self.directory = directory
        self.staging = Staging(directory, dead, disk, fsync=fsync)
        self.unread: dict[Path, str] = {}
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
        """Bring the slot into a state in which it holds sealed batches only, and files that cannot be read now.

        Raises:
            OSError: the disk failed; call it again.
        """
        for path in sorted(self.directory.iterdir()):
            if not is_in_its_place(path):
                self._set_straight(path)
        self.staging.restore()
        self.unread = dict.fromkeys(sorted(self.directory.glob(f"*{OPEN_SUFFIX}"), key=sequence_of), "")
        for _ in self.restore_unread():
            pass

    def restore_unread(self) -> Iterator[Batch]:
        """Seal the files left open that can be read by now, and yield their batches.

        Raises:
            OSError: the disk failed; call it again for the others.
        """
        for path, known in list(self.unread.items()):
            try:
                image = read_file(path)
            except FileNotFoundError:
                del self.unread[path]
                continue
            except OSError as error:  # of this file, or of the whole system: it may pass
                self.unread[path] = str(error)
                if str(error) != known:
                    logger.error("file cannot be read now, trying again file=%s error=%s", path.name, error)  # noqa: TRY400
                continue
            batch = self._seal_left_open(path, image)
            del self.unread[path]
            if batch:
                yield batch

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
                return f"{self._damaged} is as large as dead_letters.max_size; check its files, and remove some"
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
        """Take over the files of a slot whose sidecar is gone."""
        batches = other.batches()
        for batch in batches:
            logger.info("taking over a batch of a stopped sidecar file=%s", batch.path)
            self._disk.rename(batch.path, sealed_path(self.directory, next(sequences), batch.events))
        for path, why in other.unread.items():
            own = open_path(self.directory, next(sequences))
            self._disk.rename(path, own)
            self.unread[own] = why
        if (batches or other.unread) and self._fsync:  # before the next owner of that slot has it forget them
            self._disk.sync_directory(self.directory)

    def _seal_left_open(self, path: Path, image: bytes) -> Batch | None:
        stretches = list(records.scan_records(image))
        if stretches:
            last = stretches[-1]
            size = last.size_bytes if last.event is None else records.padded_size(len(last.event))
            batch = seal_left_open(
                self._disk, path, len(stretches), min(last.offset + size, len(image)), fsync=self._fsync
            )
            logger.info("batch left open is sealed file=%s events=%d", batch.path.name, batch.events)
            return batch
        if image.strip(b"\0") and records.read_header(image) is None:
            self._set_aside(path)
        else:
            self._disk.remove(path)
        return None

    def _set_straight(self, path: Path) -> None:
        """Give a batch file with a wrong name a right one, and move away files that are not batches."""
        mode = path.lstat().st_mode
        is_file = stat.S_ISREG(mode)
        if stat.S_ISDIR(mode) and _FOLDER_NAME.fullmatch(path.name):  # what else is in it are events
            for child in path.iterdir():
                if not stat.S_ISREG(child.lstat().st_mode):
                    self._set_aside(child)
        elif is_file and path.suffix == TEMPORARY_SUFFIX:
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
