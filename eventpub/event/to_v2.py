"""Tracked event or `Event` -> version 2 event of schemas/event.thrift, so that one queue can take all kinds.

| in the event                                    | becomes                                                  |
|-------------------------------------------------|----------------------------------------------------------|
| name `shop.order.placed`                        | source `shop`, noun `order`, action `placed`             |
| name `a.b.order.placed`                         | source `a.b`, likewise                                   |
| name `order.placed`                             | source: the app's name in the context, or "unknown"      |
| name `placed`                                   | noun "unknown", likewise                                 |
| `timestamp`, `begin_time` of an `Event`         | `client_timestamp`                                       |
| `uid` of an `Event`; `uuid`, but in a context   | `uuid`                                                   |
| anywhere `correlation_id`, `noun_id`            | the fields of that name                                  |
| context `user`, `request`, …, `geo`: a mapping  | the struct of that name, by the names of its fields      |
| context `experiments`: a list of mappings       | the structs                                              |
| context `STRUCT_FIELD`, such as `user_id`       | that field of that struct                                |
| context `path`, `agent`, `ip`, … (`_SHORT`)     | the field of a struct that is meant                      |
| data `request` of an `Event`, if it fits        | the struct                                               |
| any other number                                | `measurements`, if a double holds it exactly             |
| any other text                                  | `properties`                                             |
| anything else                                   | `properties`, as text: what `serialize_json_event` makes |
| None                                            | nothing: what is not known is not set                    |

"Any other" keeps its key, with `context.` in front if it comes from the context; so does a value that has the
name of a field but does not fit it. The context of an `Event` is its `ctxt`, if that is a mapping; names and
SHA-1 of its attachments go into the property `attachments`, without their contents. Nothing else is left out
but a value that cannot be written, or a second value for one field, and that is counted.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from eventpub.errors import EventSerializationError
from eventpub.pipeline import UNKNOWN_NAME, name_of, text_of
from eventpub.serialization.serialize import serialize_json_event
from eventpub.serialization.thrift_spec import Type, field_names, is_struct_class, read_fields
from eventpub.serialization.unwritable import describe_type, give_up

from . import iso8601
from .event import Event
from .fitting import fit_value, fits_double

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventpub.schemas.event.ttypes import Event as V2Event

_SHORT = {  # keys of contexts that name a field without its struct
    **{name: ("request", name) for name in ("method", "host", "path", "route", "status_code", "trace_id")},
    **{name: ("request", name) for name in ("user_agent", "client_address", "languages", "duration_ms")},
    "agent": ("request", "user_agent"),
    "ip": ("request", "client_address"),
    "referer": ("referrer", "url"),
    "session": ("session", "id"),
    "visitor_id": ("user", "visitor_id"),
    "organization_id": ("user", "organization_id"),
}
_IDS = ("uuid", "correlation_id", "noun_id")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_LIST = "experiments"


def to_v2_event(
    event: Any, *, action_first: bool = False, default: Callable[[Any], Any] | None = None
) -> V2Event:
    """Convert an event to a version 2 event; a Thrift struct is returned as it is.

    Usable as a processor: `RoutingBackend(processors=[to_v2_event])`.

    Args:
        event: a mapping of `name`, `timestamp`, `data` and `context`, as `Tracker.emit` makes it, with or
            without further keys; or an `Event`. It is not changed.
        action_first: whether names end in ACTION.NOUN instead of NOUN.ACTION.
        default: writes values of the application's own types, as for `serialize_json_event`.

    Raises:
        EventSerializationError: wrong type.
        UnwritableValueError: values are strict, as in tests, and the time is unreadable, a value unwritable, or
            there are two values for one field. Elsewhere such a value is left out, or replaced by a marker.
    """
    if is_struct_class(event.__class__):
        return event  # type: ignore[no-any-return]
    draft = _Draft(default)
    if isinstance(event, Event):
        _read_event(draft, event)
    elif isinstance(event, Mapping):
        _read_tracked(draft, event)
    else:
        reason = "not a mapping, eventpub.Event or Thrift struct; pass what Tracker.emit makes, or one of these"
        raise EventSerializationError("event", describe_type(event), reason)
    return draft.finish(name_of(event), action_first=action_first)


to_v2_event.converts = True  # type: ignore[attr-defined]  # for routers: names of fields are others afterwards


def _read_event(draft: _Draft, event: Event) -> None:
    data = event.as_dict()
    for key in ("name", "uid", "begin_time"):
        data.pop(key, None)
    if draft.set_struct("request", data.get("request")):  # where `with_request` puts it
        del data["request"]
    draft.ids["uuid"] = str(event.uid)
    draft.set_time(getattr(event, "begin_time", None))
    if attachments := event.get_attachments():
        draft.add("attachments", {name: digest for name, (_, digest) in attachments.items()})
    draft.take_data(data)
    if isinstance(event.ctxt, Mapping):
        draft.take_context(event.ctxt)


def _read_tracked(draft: _Draft, event: Mapping[str, Any]) -> None:
    rest = dict(event)
    rest.pop("name", None)
    draft.set_time(rest.pop("timestamp", None))
    for key, take in (("context", draft.take_context), ("data", draft.take_data)):
        if isinstance(rest.get(key), Mapping):
            take(rest.pop(key))
    draft.take_data(rest)


class _Schema(NamedTuple):
    """What the generated classes declare, looked up once."""

    event: Any
    structs: dict[str, Any]  # class by field of the event
    types: dict[tuple[str, str], Type]  # by field of the event, and field of its struct
    places: dict[str, tuple[str, str]]  # the same pair by key of a context


@cache
def _load_schema() -> _Schema:
    from eventpub.schemas.event.ttypes import Event as V2Event  # noqa: PLC0415, loads thrift

    structs = {field.name: field.type.struct for field in read_fields(V2Event) if field.type.struct}
    structs[_LIST] = next(field.type.element.struct for field in read_fields(V2Event) if field.name == _LIST)
    types = {(name, field.name): field.type for name, cls in structs.items() for field in read_fields(cls)}
    places = {f"{struct}_{name}": (struct, name) for struct, name in types if struct != _LIST}
    return _Schema(V2Event, structs, types, places | _SHORT)


class _Draft:
    """Builds a version 2 event."""

    def __init__(self, default: Callable[[Any], Any] | None = None) -> None:
        self._default = default
        self.ids: dict[str, str] = {}
        self._schema = _load_schema()
        self._milliseconds: int | None = None
        self._structs: dict[str, dict[str, Any]] = {}
        self._experiments: list[Any] | None = None
        self._properties: dict[str, str] = {}
        self._measurements: dict[str, float] = {}

    def set_time(self, when: Any) -> None:
        """Take a datetime (naive: UTC), seconds since the epoch, ISO 8601, or None."""
        try:
            if isinstance(when, str):
                when = iso8601.parse_time(when)
            if isinstance(when, dt.datetime):
                aware = when.replace(tzinfo=when.tzinfo or dt.timezone.utc)
                self._milliseconds = (aware - _EPOCH) // dt.timedelta(milliseconds=1)
            elif when is not None:
                self._milliseconds = math.floor(when * 1000)
        except (TypeError, ValueError, OverflowError):
            give_up("timestamp", when, "expected a datetime, seconds since the epoch, or ISO 8601")

    def set_struct(self, name: str, value: Any) -> bool:
        """Set a whole struct, unless `value` is empty, is not a mapping, or does not fit."""
        fitting = self._fitting_fields(name, _pair_items(value))
        if fitting:
            self._structs[name] = fitting
        return bool(fitting)

    def take_data(self, data: Mapping[Any, Any]) -> None:
        for key, value in data.items():
            if not self._set_id(key, value):
                self.add(text_of(key), value)

    def take_context(self, context: Mapping[Any, Any]) -> None:
        for name_or_member, value in context.items():
            key = text_of(name_or_member)
            if key == _LIST:
                if not self._set_experiments(value):
                    self.add(f"context.{key}", value)
                continue
            if key in self._schema.structs and (items := _pair_items(value)) is not None:
                for name, item in items:
                    if not self._set(key, name, item):
                        self.add(f"context.{key}.{name}", item)
                continue
            if key in self._schema.places and self._set(*self._schema.places[key], value):
                continue
            if key == "uuid" or not self._set_id(key, value):  # a context is of many events
                self.add(f"context.{key}", value)

    def add(self, key: str, value: Any) -> None:
        """Add a value that has no field of its own to the properties or the measurements."""
        if value is None:
            return
        if key in self._properties or key in self._measurements:
            give_up(key, value, "it is there twice, in data and context; give one of the two another name")
            return
        if value.__class__ not in (str, int, float, bool):
            value = json.loads(serialize_json_event({key: value}, default=self._default))[key]
        if isinstance(value, str):
            self._properties[key] = value
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and fits_double(value):
            self._measurements[key] = float(value)
        else:
            try:
                self._properties[key] = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            except ValueError:
                reason = "it has more digits than Python prints; leave it out"
                self._properties[key] = give_up(key, value, reason)

    def finish(self, name: str, *, action_first: bool) -> V2Event:
        *sources, noun, action = [""] * 2 + [part for part in name.split(".") if part]
        if noun and action_first:
            noun, action = action, noun
        app_name = self._structs.get("app", {}).get("name")
        return self._schema.event(  # type: ignore[no-any-return]
            source=".".join(filter(None, sources)) or app_name or UNKNOWN_NAME,
            action=action or UNKNOWN_NAME,
            noun=noun or UNKNOWN_NAME,
            client_timestamp=self._milliseconds,
            properties=self._properties or None,
            measurements=self._measurements or None,
            experiments=self._experiments,
            **{name: self._schema.structs[name](**values) for name, values in self._structs.items()},
            **self.ids,
        )

    def _set(self, struct: str, name: str, value: Any) -> bool:
        """Set a field of a struct, unless it does not exist, is set, or the value does not fit."""
        fitting = fit_value(self._schema.types.get((struct, name)), value)
        values = self._structs.get(struct, {})
        if fitting is None or values.get(name, fitting) != fitting:
            return value is None
        self._structs[struct] = {**values, name: fitting}
        return True

    def _set_id(self, key: Any, value: Any) -> bool:
        if key not in _IDS or not isinstance(value, str) or self.ids.get(key, value) != value:
            return False
        self.ids[key] = value
        return True

    def _set_experiments(self, value: Any) -> bool:
        if not isinstance(value, (list, tuple)):
            return False
        made = [self._fitting_fields(_LIST, _pair_items(item)) for item in value]
        if None in made:
            return False
        self._experiments = [self._schema.structs[_LIST](**given) for given in made if given is not None]
        return True

    def _fitting_fields(self, struct: str, items: Iterable[tuple[Any, Any]] | None) -> dict[str, Any] | None:
        """Return the fields that `items` set; None if one does not fit."""
        if items is None:
            return None
        types = self._schema.types
        fitting = {name: fit_value(types.get((struct, name)), item) for name, item in items if item is not None}
        return None if None in fitting.values() else fitting


def _pair_items(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return names and values of a mapping or a Thrift struct; None for anything else."""
    if isinstance(value, Mapping):
        return value.items()
    if is_struct_class(value.__class__):
        return [(name, getattr(value, name)) for name in field_names(value)]
    return None
