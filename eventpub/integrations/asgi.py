"""ASGI middleware, for Starlette, FastAPI and other ASGI frameworks."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from eventpub import ambient

from .app_events import open_events
from .describe import from_scope
from .left_behind import close_in_its_request
from .lifespan import serve_lifespan
from .served import REQUEST_KEY, ServedRequest, is_served

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventpub.tracking import Tracker

    from .lifespan import Application, Message, Receive, Scope, Send


class EventPubMiddleware:
    """Give requests and websockets `state.events_v2`, the queue, and `state.tracker`; bind their description.

    In Starlette: `app = EventPubMiddleware(app, {"queue_name": "v2"})`, then `request.state.tracker.emit(…)`.
    As `Middleware(EventPubMiddleware, …)` it is created, and reads its settings, at the server's first call.

    When the server ends the application's lifespan, what waits in an `AsyncBackend` is delivered.

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
        if scope["type"] == "lifespan":
            await serve_lifespan(self.app, scope, receive, send)
            return
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["events_v2"] = self.events.queue
        state["tracker"] = self.events.tracker
        if is_served(scope.get(REQUEST_KEY)):  # by a middleware around this one
            await self.app(scope, receive, send)
            return
        served = self._begin(scope)
        scope[REQUEST_KEY] = id(served)
        close_in_its_request()
        try:
            with ambient.Running(served):
                await self.app(scope, receive, _watched(send, served))
        except BaseException:
            # Starlette's handler of exceptions is around the middleware that is added to it
            state["tracker"] = _track_for(self.events.tracker, served)
            raise
        served.finish()

    def _begin(self, scope: Scope) -> ServedRequest:
        path, root, header = scope["path"], scope.get("root_path", ""), self.events.request_id_header
        return ServedRequest(
            lambda: from_scope(scope, path, request_id_header=header), lambda: _find_route(scope, root)
        )


def _find_route(scope: Scope, root: str) -> str | None:
    """Return the path of the route that Starlette or FastAPI has matched, behind where it is mounted."""
    route = scope.get("route")
    path = None if hasattr(route, "routes") else getattr(route, "path", None)  # a mount is half the way
    return scope.get("root_path", "").removeprefix(root) + path if isinstance(path, str) else None


def _watched(send: Send, served: ServedRequest) -> Send:
    async def watch(message: Message) -> None:
        if message["type"] == "http.response.start":
            served.know(status_code=message["status"])
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            served.finish()

    return watch


def _track_for(tracker: Tracker, served: ServedRequest) -> Tracker:
    """Return a tracker whose events say a request, wherever they are emitted."""

    def emit(*args: Any, **named: Any) -> None:
        with ambient.Running(served):
            tracker.emit(*args, **named)

    bound = copy(tracker)
    bound.emit = emit  # type: ignore[method-assign]
    return bound
