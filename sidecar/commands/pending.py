"""`eventpub spool status`: how much is pending in a spool, since when, and who owns each slot."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventpub.cli.terminal import print_table, say, say_styled
from eventpub.cli.wording import format_duration, format_json
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import OPEN_SUFFIX, SEALED_SUFFIX, Batch
from eventpub.sidecar.spool.folder import BACKUPS, DAMAGED, DEAD
from eventpub.sidecar.spool.staging import SPLIT_SUFFIX

from . import survey

if TYPE_CHECKING:
    from pathlib import Path

    from .place import Place


@dataclass(slots=True)
class SlotBacklog:
    """What is pending in one slot.

    Attributes:
        number: its name.
        owner: the process that owns it, in words; empty if none does.
        batches: sealed batches.
        events: events in them, and in batches that a dead sidecar left open.
        bytes: the disk that sealed batches take.
        oldest_seconds: how long ago the oldest was begun; None without any.
        open: batches that are not sealed: they fill, or were left so.
        splits: batches whose parts were not put in their place.
    """

    number: str
    owner: str
    batches: int = 0
    events: int = 0
    bytes: int = 0
    oldest_seconds: float | None = None
    open: int = 0
    splits: int = 0


@dataclass(frozen=True, slots=True)
class QueueBacklog:
    """What a queue has on the disk."""

    name: str
    slots: list[SlotBacklog]
    dead_letters: int
    dead_letter_bytes: int
    damaged_copies: int
    backups: int  # files as they were before a repair
    copy_bytes: int  # of both


def show_pending(place: Place, *, as_json: bool) -> None:
    """Print it.

    Raises:
        OSError: it cannot be read.
    """
    queues = [_read_queue(path) for path in place.queues]
    free_bytes = shutil.disk_usage(place.directory).free
    if as_json:
        spool = {"spool": str(place.directory), "free_bytes": free_bytes}
        say(format_json({**spool, "queues": [dataclasses.asdict(queue) for queue in queues]}))
        return
    say(f"{place.directory}: {free_bytes:,} bytes are free on its file system")
    header = ("QUEUE", "SLOT", "OWNER", "BATCHES", "EVENTS", "BYTES", "OLDEST", "OPEN", "SPLITS")
    print_table(header, [_describe_row(queue, slot) for queue in queues for slot in queue.slots])
    for queue in queues:
        for text in _list_remarks(queue, place):
            say_styled(queue.name, "bold", f": {text}")


def _read_queue(path: Path) -> QueueBacklog:
    dead = _list_sizes(path / DEAD, ".json")
    damaged, backups = (_list_sizes(path / folder, "") for folder in (DAMAGED, BACKUPS))
    return QueueBacklog(
        path.name,
        [read_slot(slot) for slot in survey.list_slots(path)],
        dead_letters=len(dead),
        dead_letter_bytes=sum(dead),
        damaged_copies=len(damaged),
        backups=len(backups),
        copy_bytes=sum(damaged) + sum(backups),
    )


def read_slot(path: Path) -> SlotBacklog:
    """Return what is pending in a slot.

    Raises:
        OSError: it cannot be read.
    """
    slot = SlotBacklog(path.name, survey.find_owner(path))
    slot.open = len(list(path.glob(f"*{OPEN_SUFFIX}")))
    slot.splits = len(list(path.glob(f"*{SPLIT_SUFFIX}")))
    for file in survey.batch_files(path):
        with contextlib.suppress(FileNotFoundError):  # delivered meanwhile
            if file.suffix == SEALED_SUFFIX:
                batch = Batch.at(file)
                slot.batches += 1
                slot.events += batch.events
                slot.bytes += batch.size_bytes
            elif slot.owner or not (left := len(records.read_records(file.read_bytes()).events)):
                continue
            else:
                slot.events += left
            slot.oldest_seconds = max(slot.oldest_seconds or 0.0, _age_seconds(file))
    return slot


def _age_seconds(file: Path) -> float:
    with file.open("rb") as opened:
        header = records.read_header(opened.read(records.MAX_HEADER_BYTES))
    return max(0.0, time.time() - (header.created_us / 1e6 if header else file.stat().st_mtime))


def _list_sizes(folder: Path, suffix: str) -> list[int]:
    sizes = []
    with contextlib.suppress(FileNotFoundError):
        for path in folder.rglob(f"*{suffix}"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    sizes.append(path.stat().st_size)
    return sizes


def _describe_row(queue: QueueBacklog, slot: SlotBacklog) -> tuple[str, ...]:
    oldest = "-" if slot.oldest_seconds is None else format_duration(slot.oldest_seconds)
    numbers = (f"{number:,}" for number in (slot.batches, slot.events, slot.bytes))
    return queue.name, slot.number, slot.owner or "nobody", *numbers, oldest, str(slot.open), str(slot.splits)


def _list_remarks(queue: QueueBacklog, place: Place) -> list[str]:
    remarks = []
    forsaken = [slot for slot in queue.slots if not slot.owner and (slot.batches or slot.open or slot.splits)]
    if forsaken:
        numbers = ", ".join(slot.number for slot in forsaken)
        remarks.append(f"the batches of slot {numbers} are delivered once a sidecar of the queue starts")
    if queue.dead_letters:
        remarks.append(
            f"dead letters: {queue.dead_letters:,}, {queue.dead_letter_bytes:,} bytes; "
            f"see: eventpub dead-letters list {place.words}"
        )
    if queue.damaged_copies or queue.backups:
        remarks.append(
            f"copies of damaged files: {queue.damaged_copies:,}, of repaired ones: {queue.backups:,}, "
            f"{queue.copy_bytes:,} bytes; to read them: "
            f"eventpub spool export --damaged {place.words}"
        )
    return remarks
