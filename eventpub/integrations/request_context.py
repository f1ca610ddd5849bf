"""The request being served, bound while it is served and visible to everything that emits events meanwhile.

It is bound by a context variable, so threads, greenlets and asyncio tasks each see only their own. Asyncio
tasks and `asyncio.to_thread` inherit it; threads and pools get it through `eventpub.tracking.carried`,
greenlets once `inherit_context` is a spawn callback.

A request begins with nothing else bound: no context of another that the thread or the connection has inherited.
"""

from __future__ import annotations

import contextvars
import copy
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from eventpub import ambient
from eventpub.event import Event
from eventpub.serialization.thrift_spec import is_struct_class, read_fields

from .served import ServedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

E = TypeVar("E")

_NAME = "request"  # of its key in contexts


def current_request() -> dict[str, Any]:
    """Return what is known of the request being served, in a dict of its own; empty outside of one.

    Its keys are those of the Thrift `Request`: id, trace_id, method, host, path, user_agent, client_address,
    and as soon as they are known route, status_code and duration_ms.
    """
    served = ambient.find_served()
    return dict(served.tell().get(_NAME, {})) if served else {}


def say(**said: Any) -> bool:
    """Say something of the request being served: each of its events has it in its context from now on.

    It belongs to the request itself, so it counts in every thread, task, hook and stream of it, wherever this
    is called, and is gone when the request is. `request={"id": …}` adds to what is known of the request.
    Contexts of a tracker win over it.

    Args:
        said: by name, such as `user_id=7`.

    Returns:
        Whether there is a request; outside of one nothing is said.

    Raises:
        TypeError: `request` is not a mapping.
    """
    served = ambient.find_served()
    if not isinstance(served, ServedRequest):
        logger.debug("say(%s) outside of a request says nothing", ", ".join(said))
        return False
    served.say(said)
    return True


@contextmanager
def bound(request: Mapping[str, Any]) -> Iterator[None]:
    """Serve a request in the block: an event emitted in it, by any tracker, has it as `context["request"]`.

    Nothing else is bound at its beginning, and what is bound in it is gone at its end.
    """
    known = dict(request)
    served = ServedRequest(lambda: known)
    try:
        with ambient.Running(served):
            yield
    finally:
        served.is_finished = True


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
    except Exception:  # noqa: BLE001, third-party code, and may refuse both
        return event
    return told


def inherit_context(greenlet: Any) -> None:
    """Give a new greenlet the context of the one that spawns it, as asyncio does for tasks.

    Call `gevent.Greenlet.add_spawn_callback(inherit_context)` once, when the application starts.
    """
    greenlet.gr_context = contextvars.copy_context()
