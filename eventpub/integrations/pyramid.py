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

from .app_events import open_events
from .describe import from_environ
from .request_context import bound
from .streams import BoundBody

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
    handler: Callable[[Request], Response],
    registry: Registry,  # noqa: ARG001, Pyramid passes it
) -> Callable[[Request], Response]:
    """Bind each request's description while it is handled."""

    def tween(request: Request) -> Response:
        described = from_environ(request.environ)
        with bound(described):
            response = handler(request)
        if not isinstance(response.app_iter, (list, tuple)):
            length = response.content_length  # WebOb removes it together with the body
            response.app_iter = BoundBody(response.app_iter, described)
            response.content_length = length
        return response

    return tween


def _get_queue(request: Request) -> Any:
    return request.registry["eventpub"].queue


def _get_tracker(request: Request) -> Any:
    return request.registry["eventpub"].tracker
