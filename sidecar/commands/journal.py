"""Which dead letters a replay has sent together, until the outcome is known.

The collector recognises a batch by its id and body, so a batch whose answer was lost must be repeated
exactly, even if letters were added or removed since. Before it is sent, the names of its letters are written
to `dead/ID.replay`, with the ids of the batches that it is a part of; that file is renamed to `ID.replayed`
when the collector has accepted the batch, before the first letter is removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventpub.sidecar.spool.batch import TEMPORARY_SUFFIX, write_file

from .letters import NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from eventpub.sidecar.spool.disk import Disk

_SENT_SUFFIX = ".replay"
_ACCEPTED_SUFFIX = ".replayed"
_PARENT = "parent:"  # no letter's name begins so


class Entry(NamedTuple):
    """A batch of an unfinished replay."""

    path: Path
    names: tuple[str, ...]  # of the letters, in the order they were sent
    parents: tuple[str, ...] = ()  # ids of the batches that it is a part of, the nearest first

    @property
    def batch_id(self) -> str:
        """What the batch was sent as."""
        return self.path.stem


def write_entry(
    dead: Path, batch_id: str, names: Iterable[str], disk: Disk, parents: tuple[str, ...] = ()
) -> Entry:
    """Record that letters are about to be sent together, as a part of the batches `parents`.

    Raises:
        OSError: the disk failed; they must not be sent.
    """
    entry = Entry(dead / f"{batch_id}{_SENT_SUFFIX}", tuple(names), parents)
    lines = (*entry.names, *(f"{_PARENT}{parent}" for parent in parents))
    write_file(disk, entry.path, "".join(f"{line}\n" for line in lines).encode(), fsync=True)
    return entry


def has_entry(dead: Path, batch_id: str) -> bool:
    """Return whether letters were recorded together before."""
    return (dead / f"{batch_id}{_SENT_SUFFIX}").exists()


def settle_entry(entry: Entry, disk: Disk) -> None:
    """Remove the letters of a batch that was accepted.

    Raises:
        OSError: the disk failed; the next replay continues.
    """
    accepted = entry.path.with_suffix(_ACCEPTED_SUFFIX)
    if entry.path != accepted:
        disk.rename(entry.path, accepted)
        disk.sync_directory(accepted.parent)
    for name in entry.names:
        disk.remove(accepted.parent / name)
    disk.remove(accepted)


def list_accepted(dead: Path) -> list[Entry]:
    """Return the accepted batches whose letters are not all removed."""
    return _list_entries(dead, _ACCEPTED_SUFFIX)


def list_unanswered(dead: Path) -> list[Entry]:
    """Return the batches that were sent and may or may not have arrived."""
    return _list_entries(dead, _SENT_SUFFIX)


def hold_letters(dead: Path, names: Collection[str], disk: Disk) -> set[str]:
    """Return which of these letters must stay, so that others can still be sent again exactly.

    Batches whose letters are all among them are removed from the journal.
    """
    held: set[str] = set()
    for entry in list_unanswered(dead):
        left = {name for name in entry.names if (dead / name).exists()}
        if left <= set(names):
            disk.remove(entry.path)
        else:
            held |= left & set(names)
    return held


def tidy_journal(dead: Path, disk: Disk) -> None:
    """Remove the unfinished files of a killed replay."""
    for path in dead.glob(f"*{TEMPORARY_SUFFIX}"):
        disk.remove(path)


def _list_entries(dead: Path, suffix: str) -> list[Entry]:
    return [_read_entry(path) for path in sorted(dead.glob(f"*{suffix}"))]


def _read_entry(path: Path) -> Entry:
    words = path.read_text(encoding="utf-8").split()
    return Entry(
        path,
        tuple(word for word in words if NAME.fullmatch(word)),
        tuple(word.removeprefix(_PARENT) for word in words if word.startswith(_PARENT)),
    )
