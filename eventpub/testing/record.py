"""What was put, event beside message, for tests to look at.

`EventQueue.put` sends the message alone. So the serializer is wrapped to note the event it was called with, for
the same thread to find when it sends the message, which is the next thing it does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_spec import is_struct_class
from eventpub.serialization.unwritable import is_strict, strict_values

Serializer = Callable[[Any], bytes]


class Put(NamedTuple):
    """One call of `put` that succeeded.

    Attributes:
        queue_name: the name of the queue.
        event: the very object that was given to `put`; it may have been changed since.
        message: what the queue's serializer made of it then, which is what a sidecar would get.
    """

    queue_name: str
    event: Any
    message: bytes

    @property
    def decoded(self) -> Any:
        """What a reader makes of the message: a new struct where the event is one, else the JSON value."""
        kind = type(self.event)
        return (
            decode_struct(kind, load_json(self.message)) if is_struct_class(kind) else json.loads(self.message)
        )


class Record:
    """What was put so far, in the order in which it was; threads may put meanwhile."""

    def __init__(self) -> None:
        self._puts: list[Put] = []

    @property
    def puts(self) -> list[Put]:
        """Everything there is to know of each event: queue, event, message."""
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
        """What a reader makes of the messages: structs of those that were structs, else JSON values."""
        return [put.decoded for put in self.puts]

    def clear(self) -> None:
        """Forget what was put so far."""
        self._puts.clear()


active: list[Record] = []  # those of the blocks of `capture_events` that last
_serialized = threading.local()


def note_events(serialize: Serializer, *, strict: bool = False) -> Serializer:
    """Return a serializer that notes the events it is called with; `strict` refuses values without a form."""

    def note(event: Any) -> bytes:
        with strict_values(strict=is_strict(otherwise=strict)):
            message = serialize(event)
        _serialized.event = event
        return message

    return note


def note_sent(queue_name: str, message: bytes) -> Put:
    """Return the message this thread sends, with the event it has just serialized."""
    return Put(queue_name, vars(_serialized).pop("event", None), message)
