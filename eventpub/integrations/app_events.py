"""An application's settings -> its event queue and its tracker, the same way in every framework.

| setting            | meaning                                                              | default          |
|--------------------|----------------------------------------------------------------------|------------------|
| `queue_name`       | the queue: 1 to 200 letters, digits, dots, dashes, underscores       | required         |
| `serializer`       | `v2`, `json`, `auto`, `package.module:function`; in Python, any callable | `v2`         |
| `max_queue_size`   | events it holds, if it must be created                               | the largest |
| `max_message_size` | bytes of an event, likewise                                          | the largest |
| `queue_mode`       | permission bits in octal, likewise                                   | `0600`           |
| `queue_group`      | its group, likewise                                                  | this process's   |
| `queue`            | in Python: an open queue, such as a test's                           |                  |

The sidecar of a queue takes version 2 events or JSON (`collector.version`). With `v2` the queue takes only
Thrift structs, and the tracker's events are converted to them; with `json` it takes only mappings. `auto`
writes structs as version 2 events and mappings as JSON, whatever the sidecar takes. An open `queue` has a
serializer of its own; `serializer` then says what the tracker makes for it.

A queue is opened once per process, or once before its server forks: parent and children share it. It stays open
as long as the process lives.
"""

from __future__ import annotations

import importlib
from configparser import RawConfigParser
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eventpub.event.to_v2 import to_v2_event
from eventpub.pipeline import check_backend
from eventpub.queue.access import DEFAULT_MODE
from eventpub.queue.event_queue import EventQueue
from eventpub.serialization.serialize import serialize_event, serialize_json_event, serialize_v2_event
from eventpub.settings import ini
from eventpub.tracking import Tracker
from eventpub.wire import MAX_EVENT_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SERIALIZERS: dict[str, Callable[[Any], bytes]] = {
    "auto": serialize_event,
    "v2": serialize_v2_event,
    "json": serialize_json_event,
}


def _serializer_kind() -> ini.Kind[Callable[[Any], bytes]]:
    def parse(value: str) -> Callable[[Any], bytes]:
        if value in _SERIALIZERS:
            return _SERIALIZERS[value]
        module, _, function = value.partition(":")
        try:
            found = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError):
            raise ValueError from None
        if callable(found):
            return found  # type: ignore[no-any-return]
        raise ValueError

    return ini.Kind(parse, "v2, json, auto, or package.module:function of a function that can be imported")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSettings:
    """The settings of an application's queue."""

    queue_name: str = ini.setting("queue_name", ini.queue_name())
    serializer: Callable[[Any], bytes] = ini.setting(
        "serializer", _serializer_kind(), default=serialize_v2_event
    )
    max_queue_size_events: int | None = ini.setting("max_queue_size", ini.integer(1, 65_536), default=None)
    max_message_size_bytes: int | None = ini.setting(
        "max_message_size", ini.size(128, MAX_EVENT_SIZE), default=None
    )
    queue_mode: int = ini.setting("queue_mode", ini.file_mode(), default=DEFAULT_MODE)
    queue_group: str | None = ini.setting("queue_group", ini.text("the name of a group"), default=None)

    def open(self) -> EventQueue[Any]:
        """Open the queue, or create it.

        Raises:
            QueueError: the queue cannot be opened; the message says how to fix that.
        """
        return EventQueue(
            self.queue_name,
            self.serializer,
            max_messages=self.max_queue_size_events,
            max_message_size=self.max_message_size_bytes,
            mode=self.queue_mode,
            group=self.queue_group,
        )


@dataclass(frozen=True, slots=True)
class AppEvents:
    """What an application uses: `queue.put(event)` raises `EventError`, `tracker.emit(…)` never does."""

    queue: EventQueue[Any]
    tracker: Tracker


def read_settings(settings: Mapping[str, Any], place: str) -> QueueSettings:
    """Read an application's settings.

    Args:
        settings: by the names above; values are text, or Python objects.
        place: where they come from, for errors: "eventpub" for keys that begin with "eventpub.".

    Raises:
        ConfigError: a setting is unknown, missing or out of range.
    """
    given = {key: _write_text(key, value) for key, value in settings.items() if key.lower() != "queue"}
    if _take_object(settings, "queue") is not None:
        given = {"queue_name": "given", **{key.lower(): text for key, text in given.items()}}
    parser = RawConfigParser()
    parser.read_dict({place: given})
    read = ini.read_section(parser, place, QueueSettings)
    serializer = _take_object(settings, "serializer")
    return replace(read, serializer=serializer) if callable(serializer) else read


def open_events(settings: Mapping[str, Any], place: str) -> AppEvents:
    """Open the queue of an application's settings, and a tracker that puts its events on it.

    Args:
        settings: as for `read_settings`.
        place: likewise.

    Raises:
        ConfigError: a setting is unknown, missing or out of range.
        QueueError: the queue cannot be opened.
    """
    read = read_settings(settings, place)
    queue = _take_object(settings, "queue")
    if queue is None:
        queue = read.open()
    as_structs = read.serializer is serialize_v2_event
    return AppEvents(queue, Tracker({"queue": _AsStructs(queue) if as_structs else queue}))


class _AsStructs:
    """Converts to version 2 events, after all other processors: these see the event as it was tracked."""

    only_reads = True

    def __init__(self, queue: EventQueue[Any]) -> None:
        check_backend("queue", queue)
        self._queue = queue

    def send(self, event: Any, /) -> None:
        self._queue.send(to_v2_event(event))


def _take_object(settings: Mapping[str, Any], name: str) -> Any:
    """Return a setting that may be a Python object, whatever the case of its key; None if it is missing."""
    return next((value for key, value in settings.items() if key.lower() == name), None)


def _write_text(key: str, value: Any) -> str:
    """Return the text that an INI file would have."""
    if key.lower() == "queue_mode" and isinstance(value, int):
        return f"{value:o}"
    return "" if value is None or callable(value) else str(value)
