"""Where one event is on this host: searched for by its UUID in batch files and dead letters; changes nothing.

An event is taken for the wanted one if its `uuid` is, whatever the version of the wire; others that hold the
UUID anywhere only mention it.
"""

from __future__ import annotations

import contextlib
import enum
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from eventpub.sidecar.spool import dead_letters, records
from eventpub.sidecar.spool.batch import OPEN_SUFFIX
from eventpub.sidecar.spool.folder import DEAD

from . import survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UUID_FIELD = "5"  # of schemas/event.thrift


class Spot(enum.Enum):
    """What kind of place an event was found in."""

    OPEN_BATCH = "the open batch"
    SPOOL = "the spool"
    DEAD_LETTER = "the dead letters"
    STORE = "the collector's store"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place where an event is, or is mentioned.

    Attributes:
        spot: what kind of place.
        place: the file, or the store.
        since: ISO 8601, UTC; empty where the place does not say.
        batch_id: the batch it is in; empty if that is not known.
        detail: what else there is to say, such as why it was refused.
        is_mention: whether another event only mentions the UUID.
    """

    spot: Spot
    place: str
    since: str
    batch_id: str = ""
    detail: str = ""
    is_mention: bool = False


@dataclass(slots=True)
class Searched:
    """How much was looked through."""

    batches: int = 0
    events: int = 0
    letters: int = 0
    unreadable: int = 0


def search_slot(slot: Path, uuid: str, searched: Searched) -> Iterator[Sighting]:
    """Yield where an event is in a slot, and add up what was looked through.

    Raises:
        OSError: this user may not look.
    """
    for file in survey.batch_files(slot):
        try:
            image = file.read_bytes()
        except FileNotFoundError:  # delivered, or sealed, meanwhile
            continue
        searched.batches += 1
        contents = records.read_records(image)
        searched.events += len(contents.events)
        header = records.read_header(image)
        for index, event in enumerate(contents.events):
            if uuid.encode() in event.lower():
                yield Sighting(
                    Spot.OPEN_BATCH if file.suffix == OPEN_SUFFIX else Spot.SPOOL,
                    str(file),
                    _format_time(header.created_us / 1e6) if header else "",
                    contents.batch_id or "",
                    f"event {index + 1} of {len(contents.events):,}",
                    is_mention=not _is_event(event, uuid),
                )


def search_letters(queue: Path, uuid: str, searched: Searched) -> Iterator[Sighting]:
    """Yield the dead letters of an event, and add up what was looked through.

    Raises:
        OSError: this user may not look.
    """
    try:
        files = sorted((queue / DEAD).glob(f"*{dead_letters.SUFFIX}"))
    except FileNotFoundError:
        return
    for file in files:
        try:
            document = dead_letters.read_letter(file.read_bytes())
            event = dead_letters.event_of(document)
        except FileNotFoundError:  # dropped, or sent again, meanwhile
            continue
        except ValueError:
            searched.unreadable += 1
            continue
        searched.letters += 1
        if uuid.encode() in event.lower():
            status = f" with {document['status']}" if document.get("status") else ""
            yield Sighting(
                Spot.DEAD_LETTER,
                str(file),
                str(document["died_at"]),
                str(document.get("batch_id") or ""),
                f"refused{status}: {document.get('reason')}: {document.get('detail') or 'without a reason'}",
                is_mention=not _is_event(event, uuid),
            )


def read_store_line(line: str, store: str, uuid: str) -> Sighting:
    """Return the sighting that a line of `eventpub store find` tells of."""
    row: dict[str, Any] = json.loads(line)
    return Sighting(
        Spot.STORE,
        store,
        _format_time(row["received_at"]) if isinstance(row.get("received_at"), int | float) else "",
        str(row.get("batch_id") or ""),
        f"signed by the key {row.get('key_name') or row.get('key') or 'unknown'}",
        is_mention=uuid not in line.lower(),
    )


def _is_event(event: bytes, uuid: str) -> bool:
    """Tell whether an event has this UUID: by name in version 2j, by its field's number in version 2."""
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(event)
        if isinstance(document, dict):
            field = document.get(_UUID_FIELD)
            named = field.get("str") if isinstance(field, dict) else document.get("uuid")
            return isinstance(named, str) and named.lower() == uuid
    return False


def _format_time(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
