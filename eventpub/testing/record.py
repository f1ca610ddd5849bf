"""What was put, each event with its message, for tests to inspect.

`EventQueue.put` sends only the message. So the serializer is wrapped to note its event, which the same thread
finds again when it sends the message, immediately afterwards.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_spec import is_struct_class
from eventpub.serialization.unwritable import is_strict, strict_values

from .named import NamedEvents, find_named

if TYPE_CHECKING:
    from enum import Enum

    from eventpub.queue.arguments import Message

Serializer = Callable[[Any], "Message"]


class Put(NamedTuple):
    """One call of `put` that succeeded.

    Attributes:
        queue_name: the name of the queue.
        event: the object that was passed to `put`; it may have been changed since.
        message: what the queue's serializer made of it, which is what a sidecar would get.
    """

    queue_name: str
    event: Any
    message: bytes

    @property
    def decoded(self) -> Any:
        """The decoded message: a new struct if the event is one, else the JSON value."""
        kind = type(self.event)
        return (
            decode_struct(kind, load_json(self.message)) if is_struct_class(kind) else json.loads(self.message)
        )


class Record:
    """What was put so far, in order; other threads may put meanwhile."""

    def __init__(self) -> None:
        self._puts: list[Put] = []

    @property
    def puts(self) -> list[Put]:
        """Everything about each event: queue, event, message."""
        return list(self._puts)

    @property
    def events(self) -> list[Any]:
        """The events, as they were given to `put`."""
        return [put.event for put in self.puts]

    @property
    def messages(self) -> list[bytes]:
        """The serialized events."""
        return [put.message for put in self.puts]

    @property
    def decoded(self) -> list[Any]:
        """The decoded messages: structs for structs, else JSON values."""
        return [put.decoded for put in self.puts]

    def named(self, name: str | Enum | type) -> NamedEvents:
        """Return the events of a name, or of a pattern such as "shop.*", or of a typed event's class.

        A version 2 event is called SOURCE.NOUN.ACTION. `.one()` of them is the only one, or fails the test.
        """
        return find_named(self.events, name)

    def clear(self) -> None:
        """Remove everything that was put so far."""
        self._puts.clear()


active: list[Record] = []  # the records of the active `capture_events` blocks
_serialized = threading.local()


def note_events(serialize: Serializer, *, strict: bool = False) -> Serializer:
    """Return a serializer that notes the events it is called with; `strict` refuses values without a form."""

    def note(event: Any) -> Message:
        with strict_values(strict=is_strict(otherwise=strict)):
            message = serialize(event)
        _serialized.event = event
        return message

    return note


def note_sent(queue_name: str, message: bytes) -> Put:
    """Return the message that this thread sends, with the event that it has just serialized."""
    return Put(queue_name, vars(_serialized).pop("event", None), message)
