"""The lifespan of an ASGI application, at whose end what waits in `AsyncBackend`s is delivered.

Uvicorn ends its process by the signal it got, so nothing that Python does at exit is done there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.tracking import drain

from .sigterm import drained_by_sigterm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def drained(app: Application) -> Application:
    """Return an ASGI application that delivers what waits when its server shuts down.

    For applications that `EventPubMiddleware` is not around, such as Django's:
    `application = drained(get_asgi_application())`.

    Args:
        app: the application; it need not know lifespans.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await serve_lifespan(app, scope, receive, send)
        else:
            await app(scope, receive, send)

    return serve


async def serve_lifespan(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a lifespan, also for an application that has none: it fails before it receives anything."""
    received = 0
    has_answered = False

    async def receive_counting() -> Message:
        nonlocal received
        message = await receive()
        received += 1
        return message

    async def send_drained(message: Message) -> None:
        nonlocal has_answered
        has_answered = True
        if message["type"].startswith("lifespan.shutdown."):
            drain()
        await send(message)

    with drained_by_sigterm():
        try:
            await app(scope, receive_counting, send_drained)
        except Exception:
            if received:
                raise
        if (
            not has_answered
        ):  # the server would take it that there is no lifespan, and would not announce the end
            if not received:
                await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send_drained({"type": "lifespan.shutdown.complete"})
