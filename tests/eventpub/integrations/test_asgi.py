"""`eventpub.integrations.asgi` under the real Starlette and a real server, with a real queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from support.web import HEADERS, SMALL_AUTO, TRACE_ID, buy_from_example, requests_of, take_events

from eventpub import ConfigError, EventQueueFullError
from eventpub.integrations import current_request
from eventpub.integrations.asgi import EventPubMiddleware


@pytest.fixture
def application(queue_name: str) -> Iterator[Callable[..., Starlette]]:
    """Makes an application with a route for each endpoint, by the endpoint's name."""

    def make(*endpoints: Any, **more: str) -> Starlette:
        settings = {**SMALL_AUTO, "queue_name": queue_name, **more}
        routes = [Route(f"/{endpoint.__name__}", endpoint) for endpoint in endpoints]
        return Starlette(routes=routes, middleware=[Middleware(middleware, settings)])

    def middleware(app: Any, settings: dict[str, str]) -> EventPubMiddleware:
        made = EventPubMiddleware(app, settings)
        opened.enter_context(closing(made.events.queue))
        return made

    with ExitStack() as opened:
        yield make


def client_of(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, client=("203.0.113.9", 1)), base_url="http://shop"
    )


def test_an_event_emitted_in_an_endpoint_says_which_request(
    application: Callable[..., Starlette], queue_name: str
):
    async def buy(request: Request) -> Response:
        request.state.tracker.emit("buy", {"tea": "oolong"})
        return PlainTextResponse("sold")

    async def main() -> None:
        async with client_of(application(buy)) as client:
            await client.get("/buy?card=1234", headers=HEADERS)

    asyncio.run(main())
    (event,) = take_events(queue_name)
    assert (event["name"], event["data"]) == ("buy", {"tea": "oolong"})
    assert event["context"]["request"] == {
        "id": "r-17",
        "trace_id": TRACE_ID,
        "method": "GET",
        "host": "shop.example.com",
        "path": "/buy",
        "route": "/buy",
        "user_agent": "kettle/1.0",
        "client_address": "203.0.113.9",
    }


def test_threads_tasks_streams_and_background_tasks_have_it_too(
    application: Callable[..., Starlette], queue_name: str
):
    async def sell(request: Request) -> Response:
        emit = request.state.tracker.emit
        await asyncio.to_thread(emit, "thread")
        await asyncio.create_task(emit_later(emit))
        return StreamingResponse(parts(emit), background=BackgroundTask(emit, "background"))

    async def emit_later(emit: Any) -> None:
        emit("task")

    async def parts(emit: Any) -> AsyncIterator[bytes]:
        emit("part")
        yield b"sold"

    with TestClient(application(sell)) as client:
        assert client.get("/sell", headers=HEADERS).text == "sold"
    events = take_events(queue_name)
    assert [event["name"] for event in events] == ["thread", "task", "part", "background"]
    assert [event["context"]["request"]["id"] for event in events] == ["r-17"] * 4


def test_endpoints_that_are_no_coroutines_have_it(application: Callable[..., Starlette], queue_name: str):
    def sell(request: Request) -> Response:
        request.state.tracker.emit("buy")
        return PlainTextResponse(current_request()["path"])

    assert TestClient(application(sell)).get("/sell").text == "/sell"
    assert [request["path"] for request in requests_of(queue_name)] == ["/sell"]


def test_a_websocket_has_it(application: Callable[..., Starlette], queue_name: str):
    async def listen(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.state.tracker.emit("listen")
        await websocket.close()

    app = application()
    app.router.routes.append(WebSocketRoute("/listen", listen))
    with TestClient(app).websocket_connect("/listen", headers=HEADERS):
        pass
    (request,) = requests_of(queue_name)
    assert (request["id"], request["path"]) == ("r-17", "/listen")
    assert "method" not in request


def test_nothing_remains_after_a_request_however_it_ends(application: Callable[..., Starlette]):
    async def fails(_request: Request) -> Response:
        raise ZeroDivisionError

    async def sticks(_request: Request) -> Response:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(current_request()["id"])
        raise AssertionError

    async def main() -> None:
        client = client_of(application(fails, sticks))
        with pytest.raises(ZeroDivisionError):
            await client.get("/fails", headers=HEADERS)
        assert current_request() == {}
        request = asyncio.create_task(client.get("/sticks", headers=HEADERS))
        await reached.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert seen == ["r-17"]
        assert current_request() == {}

    seen: list[str] = []
    reached = asyncio.Event()
    asyncio.run(main())


def test_concurrent_requests_never_see_each_other(application: Callable[..., Starlette], queue_name: str):
    async def meet(request: Request) -> Response:
        met.append(request)
        if len(met) == 4:
            all_met.set()
        await all_met.wait()
        request.state.tracker.emit(request.headers["X-Request-ID"])
        return PlainTextResponse(current_request()["id"])

    async def main() -> list[str]:
        client = client_of(application(meet))
        answers = await asyncio.gather(*(client.get("/meet", headers={"X-Request-ID": n}) for n in "0123"))
        return [answer.text for answer in answers]

    met: list[Request] = []
    all_met = asyncio.Event()
    assert asyncio.run(main()) == ["0", "1", "2", "3"]
    events = take_events(queue_name)
    assert sorted(event["name"] for event in events) == ["0", "1", "2", "3"]
    assert all(event["context"]["request"]["id"] == event["name"] for event in events)


def test_a_full_queue_fails_put_and_never_emit(application: Callable[..., Starlette], queue_name: str):
    async def buy(request: Request) -> Response:
        request.state.tracker.emit("buy")
        with pytest.raises(EventQueueFullError):
            request.state.events_v2.put({"name": "buy"})
        return PlainTextResponse("sold")

    client = TestClient(application(buy, max_queue_size="1"))
    assert [client.get("/buy").text for _ in range(3)] == ["sold"] * 3
    assert len(take_events(queue_name)) == 1


def test_a_setting_that_cannot_be_used_stops_the_start(application: Callable[..., Starlette], queue_name: str):
    with pytest.raises(
        ConfigError, match=r"\[EventPubMiddleware\] max_queue_size = many: expected a whole number"
    ):
        EventPubMiddleware(application(), {"queue_name": queue_name, "max_queue_size": "many"})


def test_the_example_runs_as_it_stands(queue_name: str):
    (event,) = buy_from_example("starlette_shop.py", queue_name)
    assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")
    assert event.properties == {"kind": "oolong"}
    assert event.request.trace_id == TRACE_ID
