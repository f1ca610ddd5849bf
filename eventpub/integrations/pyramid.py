"""Pyramid: `config.include("eventpub.integrations.pyramid")`.

It opens the queue of the settings `eventpub.queue_name`, `eventpub.serializer`, … (see
`eventpub.integrations.app_events`), adds `request.events_v2` (the queue) and `request.tracker`, and binds the
request's description by a tween around exception views and all tweens added before it; so include it last.
The description is also bound while parts of a streamed response are produced, but not in response callbacks and
finished callbacks.

Outside of requests the two are `registry["eventpub"].queue` and `registry["eventpub"].tracker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyramid.threadlocal import manager

from eventpub import ambient

from .app_events import open_events
from .describe import from_environ
from .served import REQUEST_KEY, ServedRequest, is_served
from .wsgi import finish_made

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyramid.config import Configurator
    from pyramid.registry import Registry
    from pyramid.request import Request
    from pyramid.response import Response

_PREFIX = "eventpub."


def includeme(config: Configurator) -> None:
    """Set up an application.

    Raises:
        ConfigError: a setting cannot be used.
        QueueError: the queue cannot be opened.
    """
    settings = config.registry.settings
    given = {key.removeprefix(_PREFIX): settings[key] for key in settings if key.startswith(_PREFIX)}
    config.registry["eventpub"] = open_events(given, "eventpub")
    config.add_request_method(_get_queue, "events_v2", property=True)
    config.add_request_method(_get_tracker, "tracker", property=True)
    config.add_tween(f"{__name__}.request_context_tween")


def request_context_tween(
    handler: Callable[[Request], Response], registry: Registry
) -> Callable[[Request], Response]:
    """Bind each request while it is handled; a sub-request is part of the one that makes it."""
    header = registry["eventpub"].request_id_header

    def tween(request: Request) -> Response:
        environ = request.environ
        if any(is_served(found.get(REQUEST_KEY)) for found in (environ, *_find_outer_environs())):
            return handler(request)
        served = ServedRequest(
            lambda: from_environ(environ, request_id_header=header),
            lambda: getattr(getattr(request, "matched_route", None), "pattern", None),
        )
        environ[REQUEST_KEY] = id(served)
        with ambient.Running(served):
            response = handler(request)
        served.know(status_code=response.status_int)
        length = response.content_length  # which WebOb forgets with the body it was of
        body = finish_made(response.app_iter, environ, served)
        if body is not response.app_iter:
            response.app_iter = body
            response.content_length = length
        return response

    return tween


def _find_outer_environs() -> list[Any]:
    """Return the environs of the requests that the one being handled is a sub-request of."""
    outer = [locals_["request"] for locals_ in manager.stack[:-1]]
    return [request.environ for request in outer if hasattr(request, "environ")]


def _get_queue(request: Request) -> Any:
    return request.registry["eventpub"].queue


def _get_tracker(request: Request) -> Any:
    return request.registry["eventpub"].tracker
