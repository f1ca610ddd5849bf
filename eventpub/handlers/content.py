"""What handlers for people and files send: an event as JSON with field names, and its attachments.

The stages of the pipeline write Thrift structs as Thrift JSON, which has numbers instead of names. Here they
become objects with field names, which `eventpub put --event` takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventpub.errors import AttachmentError
from eventpub.event import Event, unique_id
from eventpub.event.file import fit_for_a_name
from eventpub.pipeline import name_of
from eventpub.serialization.serialize import serialize_json_event
from eventpub.serialization.thrift_spec import field_names, is_struct_class

if TYPE_CHECKING:
    from collections.abc import Iterator


def json_of(event: Any) -> bytes:
    """Return an event as a JSON object with field names.

    Raises:
        EventSerializationError: this is not an event, or JSON has no form for a value.
    """
    return serialize_json_event(_make_plain(event))


def stem_of(event: Any) -> str:
    """Return a fresh name, for the file of an event, that tells which it is: its name, its `uid`, an id."""
    uid = f"{fit_for_a_name(str(event.uid))}-" if isinstance(event, Event) else ""
    return f"{fit_for_a_name(name_of(event))}-{uid}{unique_id()}"


def attachments_of(event: Any) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each attachment; only an `Event` has any.

    Raises:
        AttachmentError: a file was removed.
    """
    if not isinstance(event, Event):
        return
    for name, (path, _) in event.get_attachments().items():
        if not Path(path).is_file():
            raise AttachmentError(name, path, "the file was removed before the event was sent")
        yield name, Path(path)


def _make_plain(value: Any) -> Any:
    """Return a value with mappings in place of Thrift structs, without unset fields."""
    if is_struct_class(value.__class__):
        given = [(name, getattr(value, name)) for name in field_names(value)]
        return {name: _make_plain(item) for name, item in given if item is not None}
    if isinstance(value, list):
        return [_make_plain(item) for item in value]
    return value
