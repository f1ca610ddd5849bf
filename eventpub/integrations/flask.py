"""Flask: `EventPub(app)`, or `events = EventPub()` and later `events.init_app(app)`.

Settings are `EVENTPUB_QUEUE_NAME`, `EVENTPUB_SERIALIZER`, … (see `eventpub.integrations.app_events`). The
request is bound by WSGI middleware, so that it is there in every hook and in streamed answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app, request, request_started

from eventpub import ambient

from .app_events import AppEvents, open_events
from .served import ServedRequest
from .wsgi import RequestContextMiddleware

if TYPE_CHECKING:
    from flask import Flask

    from eventpub.queue.event_queue import EventQueue
    from eventpub.tracking import Tracker

_KEY = "eventpub"
_NOT_OURS = {"handlers", "key"}  # the whole environment may have been loaded into the settings


class EventPub:
    """The extension; one serves any number of applications.

    Args:
        app: set up at once, if given.

    Raises:
        ConfigError: a setting cannot be used.
        QueueError: the queue cannot be opened.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Open the application's queue, keep it as `app.extensions["eventpub"]`, and wrap `app.wsgi_app`.

        Raises:
            ConfigError: a setting cannot be used.
            QueueError: the queue cannot be opened.
        """
        given = app.config.get_namespace("EVENTPUB_")
        settings = {key: value for key, value in given.items() if key not in _NOT_OURS}
        app.extensions[_KEY] = events = open_events(settings, "EVENTPUB")
        app.wsgi_app = RequestContextMiddleware(  # type: ignore[method-assign]
            app.wsgi_app, request_id_header=events.request_id_header
        )
        request_started.connect(_note_route, app)

    @property
    def queue(self) -> EventQueue[Any]:
        """The queue of the current application: `put` raises `EventError`."""
        return self._events.queue

    @property
    def tracker(self) -> Tracker:
        """The tracker of the current application: `emit` never raises."""
        return self._events.tracker

    @property
    def _events(self) -> AppEvents:
        events: AppEvents | None = current_app.extensions.get(_KEY)
        if events is None:
            raise RuntimeError(f"{current_app!r} has no events: call EventPub(app), or events.init_app(app)")
        return events


def _note_route(_app: Flask, **_more: Any) -> None:
    served = ambient.find_served()
    if isinstance(served, ServedRequest) and request.url_rule:
        served.know(route=request.url_rule.rule)
