"""An event <-> a JSON file, to be sent later or by another process.

| key           | value                                                                     |
|---------------|---------------------------------------------------------------------------|
| `name`, `uid` | the event's own, which formatters may leave out of its data               |
| `data`        | what `Event.as_dict` returns                                              |
| `attachments` | by name: the absolute path and the SHA-1 of the file when it was attached |
| `closed`      | whether the event was closed                                              |

A file gets its name when it is complete, so a reader of the folder never sees half an event.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eventpub.errors import EventFileError
from eventpub.serialization.serialize import serialize_json_event

from . import attachment

if TYPE_CHECKING:
    from pathlib import Path

_UNFIT = re.compile(r"[^A-Za-z0-9_.@+-]+|^[.]+")  # for a file's name, anywhere
_MAX_STEM_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Dump:
    """The content of an event's file."""

    name: Any
    uid: Any
    data: dict[str, Any]
    attachments: dict[str, tuple[str, str]] = field(default_factory=dict)
    is_closed: bool = True

    def to_json(self) -> bytes:
        """Return the file's content.

        Raises:
            EventSerializationError: JSON has no form for a value.
        """
        return serialize_json_event(
            {
                "name": self.name,
                "uid": self.uid,
                "data": self.data,
                "attachments": self.attachments,
                "closed": self.is_closed,
            }
        )


def read_dump(path: Path) -> Dump:
    """Read an event's file.

    Raises:
        EventFileError: the file cannot be read, or is not such a file.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise EventFileError(str(path), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError as well
        raise EventFileError(str(path), f"it does not hold JSON: {error}") from error
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise EventFileError(str(path), 'it has no "data"')
    own = {key: document.get(key, data.get(key)) for key in ("name", "uid")}
    for key, value in own.items():
        if value is None:
            raise EventFileError(str(path), f'it has no "{key}", and none in its "data"')
    attachments = document.get("attachments", {})
    if not isinstance(attachments, dict) or not all(map(_is_attachment, attachments, attachments.values())):
        raise EventFileError(str(path), 'its "attachments" are not {NAME: [PATH, SHA-1]}')
    return Dump(
        own["name"],
        own["uid"],
        data,
        {name: (file, digest) for name, (file, digest) in attachments.items()},
        bool(document.get("closed", True)),
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; its folder is created if missing.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def fit_for_a_name(text: str) -> str:
    """Return `text` as a part of a file's name: no slash, blank or leading dot, and not too long."""
    return _UNFIT.sub("_", text)[:_MAX_STEM_CHARACTERS]


def _is_attachment(name: str, value: object) -> bool:
    return (
        attachment.is_plain_name(name)
        and isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004, path and digest
        and all(isinstance(item, str) for item in value)
    )
