"""The settings of an application, the same in every framework.

| setting             | meaning                                                    | default        |
|---------------------|------------------------------------------------------------|----------------|
| `queue_name`        | the queue: 1 to 200 letters, digits, `.`, `-`, `_`         | required       |
| `serializer`        | `v2`, `json`, `auto`, `module:function`, or any callable   | `v2`           |
| `max_queue_size`    | events it holds, if it must be created                     | the largest    |
| `max_message_size`  | bytes of an event, likewise                                | the largest    |
| `queue_mode`        | permission bits in octal, likewise                         | `0600`         |
| `queue_group`       | its group, likewise                                        | this process's |
| `processors`        | `module:function, …`; in Python, a list of callables too   | none           |
| `redact`, `sample`, … | our own processors, see `app_processors`                 | none           |
| `serializer_default`  | `module:function` that writes values of your own types   | none           |
| `on_commit`         | `yes`: events wait for the transaction they are emitted in | `no`           |
| `request_id_header` | has the request's id                                       | `X-Request-ID` |
| `queue`             | in Python: a queue that is open already, such as a test's  |                |

The sidecar of a queue takes version 2 events or JSON (`collector.version`). With `v2` the queue takes Thrift
structs only, and what the tracker emits is turned into them; with `json` mappings only. `auto` writes structs
as version 2 events and mappings as JSON, whichever the sidecar takes. A `queue` that is open already has a
serializer of its own, and `serializer` says what the tracker makes for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from configparser import RawConfigParser
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from eventpub.errors import ConfigError
from eventpub.queue.access import DEFAULT_MODE
from eventpub.queue.event_queue import EventQueue
from eventpub.serialization.serialize import serialize_event, serialize_json_event, serialize_v2_event
from eventpub.settings import ini
from eventpub.settings.importable import function, functions, import_function
from eventpub.wire import MAX_EVENT_SIZE

from .app_processors import ProcessorSettings, guard_serializer
from .describe import REQUEST_ID_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

_SERIALIZERS: dict[str, Callable[[Any], bytes]] = {
    "v2": serialize_v2_event,
    "json": serialize_json_event,
    "auto": serialize_event,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSettings(ProcessorSettings):
    """The settings of an application's queue and tracker."""

    queue_name: str = ini.setting("queue_name", ini.queue_name())
    serializer: Callable[[Any], bytes] = ini.setting(
        "serializer", function(_SERIALIZERS), default=serialize_v2_event
    )
    max_queue_size_events: int | None = ini.setting("max_queue_size", ini.integer(1, 65_536), default=None)
    max_message_size_bytes: int | None = ini.setting(
        "max_message_size", ini.size(128, MAX_EVENT_SIZE), default=None
    )
    queue_mode: int = ini.setting("queue_mode", ini.file_mode(), default=DEFAULT_MODE)
    queue_group: str | None = ini.setting("queue_group", ini.text("the name of a group"), default=None)
    processors: tuple[Callable[[Any], Any], ...] = ini.setting("processors", functions(), default=())
    serializer_default: Callable[[Any], Any] | None = ini.setting(
        "serializer_default", function(), default=None
    )
    on_commit: bool = ini.setting("on_commit", ini.boolean(), default=False)
    request_id_header: str = ini.setting(
        "request_id_header", ini.text("the name of a header", r"[A-Za-z0-9-]+"), default=REQUEST_ID_HEADER
    )

    def make_processors(self, place: str) -> list[Callable[[Any], Any]]:
        """Return the processors of the tracker, in their order.

        Raises:
            ConfigError: a pattern, a share or a limit is invalid, or the key is missing.
        """
        return [*self.make_limits(place), *self.processors, *self.make_guards(place)]

    def open(self, place: str) -> EventQueue[Any]:
        """Open the queue, or create it.

        Args:
            place: where the settings stand, for errors.

        Raises:
            ConfigError: the key of `hash` is not there any more.
            QueueError: it cannot be opened; the message says what would help.
        """
        serialize: Callable[..., bytes] = self.serializer
        if self.serializer_default:
            serialize = partial(serialize, default=self.serializer_default)
        return EventQueue(
            self.queue_name,
            guard_serializer(serialize, self.make_guards(place)),
            max_messages=self.max_queue_size_events,
            max_message_size=self.max_message_size_bytes,
            mode=self.queue_mode,
            group=self.queue_group,
        )


def read_settings(settings: Mapping[str, Any], place: str) -> AppSettings:
    """Read an application's settings.

    Args:
        settings: by the names above; values are text, or what Python programs write in its place.
        place: where they stand, for errors: "eventpub" for keys that begin with "eventpub.".

    Raises:
        ConfigError: a setting is unknown, missing or out of range.
    """
    given = {key: _write_text(key, value) for key, value in settings.items() if key.lower() != "queue"}
    if take_object(settings, "queue") is not None:
        given = {"queue_name": "given", **{key.lower(): text for key, text in given.items()}}
    parser = RawConfigParser()
    parser.read_dict({place: given})
    read = ini.read_section(parser, place, AppSettings)
    if callable(serializer := take_object(settings, "serializer")):
        read = replace(read, serializer=serializer)
    if isinstance(processors := take_object(settings, "processors"), (list, tuple)):
        imported = [import_function(one) if isinstance(one, str) else one for one in processors]
        read = replace(read, processors=tuple(imported))
    if callable(default := take_object(settings, "serializer_default")):
        read = replace(read, serializer_default=default)
    if read.serializer_default and read.serializer not in _SERIALIZERS.values():
        raise ConfigError(place, "serializer_default", "", "goes with the serializers v2, json and auto only")
    read.make_processors(place)  # which finds what makes no sense
    return read


def take_object(settings: Mapping[str, Any], name: str) -> Any:
    """Return a setting that may be an object of Python, in whichever case its key is written, or None."""
    return next((value for key, value in settings.items() if key.lower() == name), None)


def _write_text(key: str, value: Any) -> str:
    """Return what an INI file would hold."""
    if key.lower() == "queue_mode" and isinstance(value, int):
        return f"{value:o}"
    if value is None or callable(value) or (key.lower() == "processors" and not isinstance(value, str)):
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {number}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple, set)) else str(value)
