"""The request being served, bound while it is served and seen by whatever emits events meanwhile.

It is bound by a context variable, so threads, greenlets and asyncio tasks never see each other's. Asyncio tasks
and `asyncio.to_thread` inherit it; plain threads and pools take it along by `eventpub.tracking.carried`,
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
    """Return what is known of the request being served, in a dict of its own; empty outside of one.

    Its keys are those of the Thrift `Request`: id, trace_id, method, host, path, user_agent, client_address,
    route.
    """
    context = ambient.get(_NAME)
    return dict(context[_NAME]) if context else {}


def bound(request: dict[str, str]) -> AbstractContextManager[None]:
    """Bind a request for the block: an event emitted in it, by any tracker, has it as `context["request"]`."""
    return ambient.bound(_NAME, {_NAME: request})


def with_request(event: E) -> E:
    """Return a copy of an event that is about to be put, with the request it happens in.

    A mapping gets it as `event["context"]["request"]`, where a tracked event has it; a Thrift struct with a
    field `request`, in that; an `eventpub.Event`, be it closed, as its data `request`. An event that has one
    already or no room for one, and any event outside of a request, is returned as it is.
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
    """Give a greenlet that is being spawned the context it is spawned in, as asyncio gives it to tasks.

    `gevent.Greenlet.add_spawn_callback(inherit_context)`, once, when the application starts.
    """
    greenlet.gr_context = contextvars.copy_context()
