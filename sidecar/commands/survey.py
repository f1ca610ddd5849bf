"""What is in the slots of a queue, and what is wrong with it; nothing here changes anything.

A slot that a sidecar owns changes while it is read: files that disappear were delivered, and open files are in
use. In a slot without an owner, everything but sealed, intact batches is a finding, whether it is damage or
only work that the next start continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.wording import count_noun
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import OPEN_SUFFIX, SEALED_SUFFIX, TEMPORARY_SUFFIX, Batch, sequence_of
from eventpub.sidecar.spool.folder import is_in_its_place
from eventpub.sidecar.spool.slot import find_owner as find_owner_pid
from eventpub.sidecar.spool.slot import is_owned
from eventpub.sidecar.spool.staging import CUT_SUFFIX, SPLIT_SUFFIX

from . import letters

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not a sealed, intact batch.

    Attributes:
        path: the file or folder.
        text: what it is.
        remedy: what `spool repair` does about it, as a sentence.
        damage: whether bytes are not as they were written; otherwise it is unfinished work.
        unreadable: whether the disk or the file's mode prevents reading it.
    """

    path: Path
    text: str
    remedy: str
    damage: bool = False
    unreadable: bool = False

    def __str__(self) -> str:
        return f"{Path(*self.path.parts[-3:])}: {self.text}"

    def to_facts(self) -> dict[str, object]:
        """Return it as `--json` has it."""
        facts = {"file": str(self.path), "flaw": self.text, "repair": self.remedy, "damage": self.damage}
        return {**facts, "unreadable": self.unreadable}


def list_slots(queue: Path) -> list[Path]:
    """Return the folders of a queue's slots."""
    return sorted((path for path in queue.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))


def find_owner(slot: Path) -> str:
    """Return who owns a slot: `pid 123`, `another process` if its id is not visible, or nothing."""
    if not is_owned(slot):
        return ""
    pid = find_owner_pid(slot)
    return "another process" if pid is None else f"pid {pid}"


def examine_slot(slot: Path, *, owned: bool | None = None) -> Iterator[Flaw]:
    """Yield what is wrong in a slot, and unfinished work if nobody owns it.

    Args:
        slot: its folder.
        owned: whether a process owns it; looked up by default.

    Raises:
        OSError: the folder cannot be read.
    """
    owned = is_owned(slot) if owned is None else owned
    for path in sorted(slot.iterdir()):
        try:
            yield from _examine_file(path, owned=owned)
        except FileNotFoundError:  # delivered, or sealed, meanwhile
            continue
        except OSError as error:
            yield Flaw(
                path,
                f"cannot be read: {error.strerror}",
                "Nothing is done until it can be read; fix the disk or become its owner.",
                unreadable=True,
            )


def batch_files(slot: Path) -> list[Path]:
    """Return the files of a slot that hold events to deliver, oldest first.

    Raises:
        OSError: the folder cannot be read.
    """
    there = [path for path in slot.iterdir() if is_there(path)]
    split = {sequence_of(path) for path in there if path.suffix == SPLIT_SUFFIX}
    files: list[Path] = []
    for path in sorted(there, key=sequence_of):
        if path.suffix == SPLIT_SUFFIX:
            files += sorted(path.glob(f"*{SEALED_SUFFIX}"))
        elif path.suffix in (OPEN_SUFFIX, SEALED_SUFFIX) and sequence_of(path) not in split:
            files.append(path)
    return files


def is_there(path: Path) -> bool:
    """Return whether a file of a slot still exists, and has one of the names of slot files."""
    try:
        return is_in_its_place(path)
    except FileNotFoundError:  # delivered meanwhile
        return False


def find_damage(image: bytes) -> list[str]:
    """Return the unreadable places of a batch file."""
    header = [] if records.read_header(image) else [f"offset 0, {records.HEADER_BYTES} bytes (the header)"]
    return header + [
        f"offset {stretch.offset:,}, {stretch.size_bytes:,} bytes"
        for stretch in records.scan_records(image)
        if stretch.event is None
    ]


def examine_letters(queue: Path) -> Iterator[Flaw]:
    """Yield the dead letters of a queue that cannot be read.

    Raises:
        OSError: the folder cannot be read.
    """
    for text in letters.find_letters(queue)[1]:
        name, _, why = text.partition(": ")
        yield Flaw(Path(name), why, "It stays; check it, and remove it.", damage=True)


def _examine_file(path: Path, *, owned: bool) -> Iterator[Flaw]:
    if not is_in_its_place(path):
        if not owned:
            yield _out_of_place(path)
    elif path.suffix == SEALED_SUFFIX:
        yield from _examine_sealed(path)
    elif owned or path.suffix == CUT_SUFFIX:
        return
    elif path.suffix == OPEN_SUFFIX:
        yield _left_open(path)
    elif path.suffix == SPLIT_SUFFIX:
        for part in sorted(path.glob(f"*{SEALED_SUFFIX}")):
            yield from _examine_sealed(part)
        yield Flaw(
            path,
            f"parts of batch {sequence_of(path)}, which were to replace it",
            "They replace it; dead letters among them go to the dead letters.",
        )
    else:
        yield Flaw(
            path,
            f"unfinished parts of batch {sequence_of(path)}",
            "They are removed; the batch itself has all events.",
        )


def _examine_sealed(path: Path) -> Iterator[Flaw]:
    image = path.read_bytes()
    batch, contents, places = Batch.at(path), records.read_records(image), find_damage(image)
    what = "; ".join(f"damaged at {place}" for place in places)
    if len(contents.events) != batch.events:
        what += f"{'; ' if what else ''}has {len(contents.events):,} intact events of {batch.events:,}"
    if what:
        remedy = f"A batch of its {count_noun(len(contents.events), 'intact event')} replaces it."
        yield Flaw(path, what, remedy if contents.events else "It is removed.", damage=True)


def _left_open(path: Path) -> Flaw:
    image = path.read_bytes()
    events = len(records.read_records(image).events)
    never_written = not image.strip(b"\0")
    places = [] if never_written else find_damage(image)
    text = (
        "".join(f"damaged at {place}; " for place in places) + f"left open, has {count_noun(events, 'event')}"
    )
    remedy = f"It is sealed with its {count_noun(events, 'intact event')}."
    return Flaw(path, text, remedy if events else "It is removed.", damage=bool(places))


def _out_of_place(path: Path) -> Flaw:
    if path.is_symlink() or not path.is_file():
        kind = "is a link" if path.is_symlink() else "does not belong here"
    elif path.suffix == TEMPORARY_SUFFIX:
        return Flaw(path, "was not written completely", "It is removed; its source is still there.")
    elif path.suffix in (OPEN_SUFFIX, SEALED_SUFFIX):
        return Flaw(
            path, "has a name that is not a batch's", "It gets one, with its intact events.", damage=True
        )
    else:
        kind = "does not belong here"
    return Flaw(path, kind, "It is moved to the queue's damaged/.", damage=True)
