"""The dead letters of a queue, selected by id, by reason, by age.

The id of a letter is the id of its batch and its place in it, `0f3a…-12`. As in git, the beginning of the
batch's id is enough; a batch's id alone means all of its letters.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from eventpub.settings import ini
from eventpub.sidecar.spool import dead_letters
from eventpub.sidecar.spool.folder import DEAD

from .errors import BusyError
from .guard import explain_denied

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

NAME = re.compile(r"([0-9a-f]{32})-([0-9]{1,10})\.json")
_ID = re.compile(r"([0-9a-f]{4,32})(?:-([0-9]{1,10}))?")
_MAX_DETAIL_CHARACTERS = 60
MAX_AGE_SECONDS = 100 * 365 * 86_400
_SHOWN_ID = 12  # digits of a batch id; a million letters share none by chance


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its event, since that may be large.

    Attributes:
        path: its file.
        batch_id: the batch its event came with.
        index: the event's place in it.
        died_at: ISO 8601, UTC.
        refused_at: when a replay of it was last refused; empty if none was.
        reason: see `DeadReason`; a file written by another version may have others.
        status: the HTTP status it was refused with, if any.
        detail: what the collector said.
        attempts: how often the batch was posted.
        event_bytes: the size of the event.
    """

    path: Path
    batch_id: str
    index: int
    died_at: str
    refused_at: str
    reason: str
    status: int | None
    detail: str
    attempts: int
    event_bytes: int

    @property
    def id(self) -> str:
        """Its id on a command line."""
        return f"{self.batch_id[:_SHOWN_ID]}-{self.index}"

    @property
    def age_seconds(self) -> float:
        """Seconds since it died; 0 if its time cannot be read."""
        try:
            died = datetime.fromisoformat(self.died_at.replace("Z", "+00:00"))
        except ValueError:
            return 0.0
        died = died if died.tzinfo else died.replace(tzinfo=timezone.utc)
        return (datetime.now(timezone.utc) - died).total_seconds()


def find_letters(queue: Path) -> tuple[list[Letter], list[str]]:
    """Return a queue's dead letters, oldest first, and what is wrong with other files.

    Raises:
        OSError: the folder cannot be read.
    """
    letters: list[Letter] = []
    complaints: list[str] = []
    try:
        there = sorted((queue / DEAD).iterdir())
    except FileNotFoundError:  # no sidecar has created it yet
        return letters, complaints
    for path in there:
        if path.suffix != dead_letters.SUFFIX:
            continue
        try:
            letters.append(read_letter(path))
        except FileNotFoundError:  # dropped or sent again meanwhile
            continue
        except PermissionError as error:  # it does not keep the others from being used
            complaints.append(explain_denied(error))
        except OSError as error:
            complaints.append(f"{path}: {error.strerror}")
        except ValueError as error:
            complaints.append(f"{path}: {error}")
    letters.sort(key=lambda letter: (letter.died_at, letter.path.name))
    return letters, complaints


def read_letter(path: Path) -> Letter:
    """Return the dead letter in a file.

    Raises:
        ValueError: it is not a dead letter; the message says why.
        OSError: it cannot be read.
    """
    match = NAME.fullmatch(path.name)
    if match is None:
        raise ValueError("its name is not that of a dead letter")
    document = dead_letters.read_letter(path.read_bytes())
    if (document.get("batch_id"), document.get("index")) != (match[1], int(match[2])):
        raise ValueError("its name does not match its content")
    status = document.get("status")
    attempts = document.get("attempts")
    return Letter(
        path=path,
        batch_id=match[1],
        index=int(match[2]),
        died_at=document["died_at"],
        refused_at=str(document.get("refused_at") or ""),
        reason=str(document.get("reason")),
        status=status if isinstance(status, int) else None,
        detail=str(document.get("detail") or ""),
        attempts=attempts if isinstance(attempts, int) else 0,
        event_bytes=len(dead_letters.event_of(document)),
    )


def by_ids(letters: Sequence[Letter], ids: Iterable[str]) -> tuple[list[Letter], list[str]]:
    """Return the letters that `ids` select, in their order, and what is wrong with other ids."""
    chosen: set[Path] = set()
    complaints = []
    for text in ids:
        match = _ID.fullmatch(text.removesuffix(dead_letters.SUFFIX))
        if match is None:
            complaints.append(f"{text!r} is not an id; `eventpub dead-letters list` shows the ids")
            continue
        index = None if match[2] is None else int(match[2])
        named = [
            letter
            for letter in letters
            if letter.batch_id.startswith(match[1]) and index in (None, letter.index)
        ]
        if not named:
            complaints.append(f"no dead letter {text}; `eventpub dead-letters list` shows all")
        elif len({letter.batch_id for letter in named}) > 1:
            complaints.append(f"{text} is the beginning of several ids; give more characters")
        else:
            chosen |= {letter.path for letter in named}
    return [letter for letter in letters if letter.path in chosen], complaints


def summarize_letter(letter: Letter) -> dict[str, object]:
    """Return what `list --json` tells of a letter."""
    return {
        "id": letter.id,
        "died_at": letter.died_at,
        "refused_at": letter.refused_at or None,
        "queue": letter.path.parent.parent.name,
        "reason": letter.reason,
        "status": letter.status,
        "detail": letter.detail,
        "batch_id": letter.batch_id,
        "index": letter.index,
        "attempts": letter.attempts,
        "event_bytes": letter.event_bytes,
        "file": str(letter.path),
    }


def describe_row(letter: Letter) -> tuple[str, ...]:
    """Return a letter's line of the table."""
    detail = "".join(character if character.isprintable() else " " for character in letter.detail)
    if len(detail) > _MAX_DETAIL_CHARACTERS:
        detail = detail[: _MAX_DETAIL_CHARACTERS - 1] + "…"
    queue = letter.path.parent.parent.name
    status = str(letter.status or "-")
    return letter.died_at, queue, letter.reason, status, letter.id, f"{letter.event_bytes:,}", detail


def since_kind() -> ini.Kind[float]:
    """A point in time, or a duration until now, as the seconds since then."""
    ago = ini.seconds(0, MAX_AGE_SECONDS)

    def parse(value: str) -> float:
        try:
            return ago.parse(value)
        except ValueError:
            then = datetime.fromisoformat(value.replace("Z", "+00:00"))
        then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
        return (datetime.now(timezone.utc) - then).total_seconds()

    return ini.Kind(parse, "a duration such as 2h or 7d, or a time in UTC such as 2026-01-31T12:00")


@contextlib.contextmanager
def lock_letters(queue: Path) -> Iterator[None]:
    """Keep other commands from removing dead letters meanwhile; the sidecar may add some.

    Raises:
        BusyError: another command is running.
        OSError: the folder cannot be read.
    """
    fd = os.open(queue / DEAD, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{queue.name}: another replay or drop is running; wait for its end") from None
        yield
    finally:
        os.close(fd)
