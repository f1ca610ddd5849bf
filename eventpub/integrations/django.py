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

from functools import cache
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Error, register
from django.core.signals import setting_changed

from eventpub.errors import ConfigError

from .app_events import AppEvents, open_events, read_settings
from .describe import from_environ
from .request_context import bound
from .streams import BoundAsyncBody, BoundBody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponse

_SETTING = "EVENTPUB"


@cache
def events() -> AppEvents:
    """Return the queue and the tracker of this project, opened by the first call.

    Raises:
        ConfigError: a setting cannot be used.
        QueueError: the queue cannot be opened.
    """
    return open_events(getattr(settings, _SETTING, {}), _SETTING)


class EventPubConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """The application."""

    name = "eventpub.integrations"
    label = "eventpub"

    def ready(self) -> None:
        """Lets `manage.py check` check the settings, and tests override them."""
        register(_check_settings)
        setting_changed.connect(_forget_events)


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
        request.events_v2 = events().queue
        request.tracker = events().tracker
        described = from_environ(request.META, path=request.path)
        if self._is_async:
            return self._serve_async(request, described)
        with bound(described):
            response = self._get_response(request)
        return _bind_stream(response, described)

    async def _serve_async(self, request: HttpRequest, described: dict[str, str]) -> HttpResponse:
        with bound(described):
            response = await self._get_response(request)
        return _bind_stream(response, described)


def _bind_stream(response: HttpResponse, described: dict[str, str]) -> HttpResponse:
    """Bind the request while the parts of a streamed response are produced."""
    if response.streaming and getattr(response, "file_to_stream", None) is None:
        bind = BoundAsyncBody if response.is_async else BoundBody
        response.streaming_content = bind(response.streaming_content, described)
    return response


def _check_settings(**_kwargs: Any) -> list[Error]:
    try:
        read_settings(getattr(settings, _SETTING, {}), _SETTING)
    except ConfigError as error:
        return [Error(str(error), id="eventpub.E001")]
    return []


def _forget_events(*, setting: str, **_kwargs: Any) -> None:
    if setting == _SETTING:
        events.cache_clear()
