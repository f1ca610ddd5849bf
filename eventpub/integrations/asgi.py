"""ASGI middleware, for Starlette, FastAPI and other ASGI frameworks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .app_events import open_events
from .describe import from_scope
from .request_context import bound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class EventPubMiddleware:
    """Give requests and websockets `state.events_v2`, the queue, and `state.tracker`; bind their description.

    In Starlette: `app = EventPubMiddleware(app, {"queue_name": "v2"})`, then `request.state.tracker.emit(…)`.
    As `Middleware(EventPubMiddleware, …)` it is created, and reads its settings, at the server's first call.

    Args:
        app: the application.
        settings: see `eventpub.integrations.app_events`; the queue is opened at once.

    Raises:
        ConfigError: a setting cannot be used.
        QueueError: the queue cannot be opened.
    """

    def __init__(self, app: Application, settings: Mapping[str, Any]) -> None:
        self.app = app
        self.events = open_events(settings, "EventPubMiddleware")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a websocket, or the lifespan."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["events_v2"] = self.events.queue
        state["tracker"] = self.events.tracker
        with bound(from_scope(scope)):
            await self.app(scope, receive, send)
