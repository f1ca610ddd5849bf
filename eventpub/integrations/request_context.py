"""The request being served, bound while it is served and visible to everything that emits events meanwhile.

It is bound by a context variable, so threads, greenlets and asyncio tasks each see only their own. Asyncio
tasks and `asyncio.to_thread` inherit it; threads and pools get it through `eventpub.tracking.carried`,
greenlets once `inherit_context` is a spawn callback.
"""

from __future__ import annotations

import contextvars
import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from eventpub import ambient
from eventpub.event import Event
from eventpub.serialization.thrift_spec import is_struct_class, read_fields

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

E = TypeVar("E")

_NAME = "request"  # of the context, and of its one key


def current_request() -> dict[str, str]:
    """Return a new dict of what is known about the request being served; empty outside of a request.

    Its keys are those of the Thrift `Request`: id, trace_id, method, host, path, user_agent, client_address,
    route.
    """
    context = ambient.get(_NAME)
    return dict(context[_NAME]) if context else {}


def bound(request: dict[str, str]) -> AbstractContextManager[None]:
    """Bind a request for the block: events that any tracker emits in it have `context["request"]`."""
    return ambient.bound(_NAME, {_NAME: request})


def with_request(event: E) -> E:
    """Return a copy of an event with the request being served, to be put.

    A mapping gets it as `event["context"]["request"]`, like a tracked event; a Thrift struct in its field
    `request`, if it has one; an `eventpub.Event`, even a closed one, as its data `request`. An event that has a
    request, or no place for one, and any event outside of a request, is returned as it is.
    """
    request = current_request()
    if not request:
        return event
    if isinstance(event, Mapping):
        context = event.get("context") or {}
        if not isinstance(context, Mapping) or _NAME in context:
            return event
        return {**event, "context": {**context, _NAME: request}}  # type: ignore[return-value]
    if getattr(event, _NAME, None) is not None:
        return event
    value: Any = request
    kind: Any = type(event)
    if is_struct_class(kind):
        struct = next((field.type.struct for field in read_fields(kind) if field.name == _NAME), None)
        if struct is None:
            return event
        value = struct(**{field.name: request.get(field.name) for field in read_fields(struct)})
    return _told(event, value)


def _told(event: E, request: Any) -> E:
    try:
        told = copy.copy(event)
        if isinstance(told, Event):
            told._data[_NAME] = request  # noqa: SLF001, our own; it may be closed
        else:
            setattr(told, _NAME, request)
    except Exception:  # noqa: BLE001, an event is anybody's, and may refuse both
        return event
    return told


def inherit_context(greenlet: Any) -> None:
    """Give a new greenlet the context of the one that spawns it, as asyncio does for tasks.

    Call `gevent.Greenlet.add_spawn_callback(inherit_context)` once, when the application starts.
    """
    greenlet.gr_context = contextvars.copy_context()
