"""Django: an application, for `INSTALLED_APPS`, and a middleware, for the top of `MIDDLEWARE`.

    INSTALLED_APPS = [..., "eventpub.integrations.django.EventPubConfig"]
    MIDDLEWARE = ["eventpub.integrations.django.EventPubMiddleware", ...]
    EVENTPUB = {"queue_name": "v2"}  # see eventpub.integrations.app_events

Requests get `request.events_v2` (the queue) and `request.tracker`. Events emitted during a request carry its
description, in synchronous, asynchronous and streaming views. Elsewhere, `events()` returns queue and tracker.

`manage.py check` checks the settings. The queue is opened when a server starts, or at the first call of
`events()`, so commands that emit no events need no queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import AppConfig
from django.core.checks import Error, register
from django.core.signals import setting_changed

from eventpub import ambient
from eventpub.errors import ConfigError

from .app_settings import read_settings
from .describe import from_environ
from .django_events import SETTING, events, find_settings, follow_override
from .left_behind import close_in_its_request
from .served import REQUEST_KEY, ServedRequest, is_served
from .streams import BoundAsyncBody, BoundBody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponse


class EventPubConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """The application."""

    name = "eventpub.integrations"
    label = "eventpub"

    def ready(self) -> None:
        """Lets `manage.py check` check the settings, and tests override them."""
        register(_check_settings)
        setting_changed.connect(follow_override)


class EventPubMiddleware:
    """Bind each request's description while it is served.

    Args:
        get_response: serves the request.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        events()

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Serve a request."""
        opened = events()
        request.events_v2 = opened.queue
        request.tracker = opened.tracker
        holder = getattr(request, "scope", request.META)
        if is_served(holder.get(REQUEST_KEY)):  # by a middleware around Django
            return self._get_response(request)
        header, path = opened.request_id_header, request.path
        served = ServedRequest(
            lambda: from_environ(request.META, path, request_id_header=header),
            lambda: getattr(request.resolver_match, "route", None),
        )
        holder[REQUEST_KEY] = id(served)
        if self._is_async:
            return self._serve_async(request, served)
        with ambient.Running(served):
            response = self._get_response(request)
        return _bind_response(response, served)

    async def _serve_async(self, request: HttpRequest, served: ServedRequest) -> HttpResponse:
        close_in_its_request()
        with ambient.Running(served):
            response = await self._get_response(request)
        return _bind_response(response, served)


def _bind_response(response: HttpResponse, served: ServedRequest) -> HttpResponse:
    """Have the parts of a streamed answer made with the request bound, and every answer closed so."""
    served.know(status_code=response.status_code)
    if response.streaming and getattr(response, "file_to_stream", None) is None:
        bind = BoundAsyncBody if response.is_async else BoundBody
        response.streaming_content = bind(response.streaming_content, served)
    close = response.close

    def close_bound() -> None:
        del response.close
        served.finish()
        with ambient.Running(served):
            close()

    response.close = close_bound
    return response


def _check_settings(**_kwargs: Any) -> list[Error]:
    try:
        read_settings(find_settings(), SETTING)
    except ConfigError as error:
        return [Error(str(error), id="eventpub.E001")]
    return []
