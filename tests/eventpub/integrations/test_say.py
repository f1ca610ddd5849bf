"""`say(...)` binds to the request itself: seen wherever its events are emitted, and gone with it."""

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from flask import Flask, stream_with_context
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from werkzeug.middleware.proxy_fix import ProxyFix

from eventpub.integrations import bound, current_request, say
from eventpub.integrations.asgi import EventPubMiddleware
from eventpub.integrations.describe import from_environ
from eventpub.integrations.flask import EventPub
from eventpub.integrations.lifespan import drained
from eventpub.integrations.wsgi import RequestContextMiddleware
from eventpub.testing import MemoryQueue
from eventpub.tracking import MemoryBackend, Tracker, carried


@pytest.fixture
def queue() -> MemoryQueue[Any]:
    return MemoryQueue()


@pytest.fixture
def settings(queue: MemoryQueue[Any]) -> dict[str, Any]:
    return {"queue": queue, "serializer": "json"}


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def tracker(memory: MemoryBackend) -> Tracker:
    return Tracker({"memory": memory})


def users_of(events: list[Any]) -> list[tuple[str, Any]]:
    return [(event["name"], event["context"].get("user_id")) for event in events]


# --- say -------------------------------------------------------------------------------------------------


def test_outside_of_a_request_nothing_is_said(tracker: Tracker):
    assert say(user_id=7) is False
    assert tracker.resolve_context() == {}


def test_what_is_said_is_on_later_events_of_the_request_and_loses_to_contexts_of_the_tracker(tracker: Tracker):
    with bound({"id": "r-1"}):
        assert say(user_id=7, plan="team") is True
        say(plan="tea")
        with tracker.context("masquerade", user_id=8):
            assert tracker.resolve_context() == {"request": {"id": "r-1"}, "user_id": 8, "plan": "tea"}
        assert tracker.resolve_context() == {"request": {"id": "r-1"}, "user_id": 7, "plan": "tea"}
    assert tracker.resolve_context() == {}


def test_what_is_said_of_the_request_is_added_to_what_is_known_of_it(tracker: Tracker):
    with bound({"id": "r-1", "path": "/"}):
        say(request={"id": "of the application", "route": "/{x}"})
        expected = {"id": "of the application", "path": "/", "route": "/{x}"}
        assert current_request() == tracker.resolve_context()["request"] == expected
        with pytest.raises(TypeError, match="give a mapping"):
            say(request="r-2")


def test_it_is_said_from_threads_tasks_and_generators_to_all_of_the_request(tracker: Tracker):
    def generate() -> Iterator[None]:
        say(generator=True)
        yield

    async def main() -> dict[str, Any]:
        with bound({"id": "r-1"}):
            await asyncio.create_task(asyncio.to_thread(say, thread=True))
            thread = threading.Thread(target=carried(lambda: say(plain_thread=True)))
            thread.start()
            thread.join()
            list(generate())
            return tracker.resolve_context()

    said = asyncio.run(main())
    assert said == {"request": {"id": "r-1"}, "thread": True, "plain_thread": True, "generator": True}


def test_many_threads_say_at_once_and_nothing_is_lost(tracker: Tracker):
    with bound({"id": "r-1"}), ThreadPoolExecutor(8) as pool:
        list(pool.map(carried(lambda n: say(**{f"n{n}": n})), range(400)))
        assert len(tracker.resolve_context()) == 401


def test_a_synchronous_dependency_of_fastapi_says_who_the_user_is(
    queue: MemoryQueue[Any], settings: dict[str, Any]
):
    def login() -> None:
        say(user_id=7)

    app = FastAPI(dependencies=[Depends(login)])

    @app.get("/buy/{tea}")
    def buy(tea: str, request: Request) -> str:
        request.state.tracker.emit("buy")
        return tea

    @app.get("/async/{tea}")
    async def buy_async(tea: str, request: Request) -> str:
        request.state.tracker.emit("buy")
        return tea

    client = TestClient(EventPubMiddleware(app, settings))
    assert [client.get(path).status_code for path in ("/buy/oolong", "/async/oolong")] == [200, 200]
    assert users_of(queue.events) == [("buy", 7)] * 2
    routes = [event["context"]["request"]["route"] for event in queue.events]
    assert routes == ["/buy/{tea}", "/async/{tea}"]


def test_a_context_block_in_a_synchronous_dependency_is_told_to_cover_nothing(
    queue: MemoryQueue[Any], settings: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    def login(request: Request) -> Iterator[None]:
        with request.state.tracker.context("user of a dependency", user_id=7):
            yield

    app = FastAPI()

    @app.get("/")
    def buy(request: Request, _user: Annotated[None, Depends(login)]) -> str:
        request.state.tracker.emit("buy")
        return "sold"

    client = TestClient(EventPubMiddleware(app, settings))
    assert [client.get("/").status_code for _ in range(2)] == [200, 200]
    assert users_of(queue.events) == [("buy", None)] * 2
    assert caplog.text.count("context 'user of a dependency' covers nothing") == 1


def test_it_is_there_in_streams_background_tasks_and_handlers_of_errors(
    queue: MemoryQueue[Any], settings: dict[str, Any]
):
    def later_parts(emit: Any) -> Iterator[bytes]:
        for number in range(3):
            emit(f"part {number}")
            yield b"x"

    async def stream(request: Any) -> StreamingResponse:
        say(user_id=7)
        emit = request.state.tracker.emit
        return StreamingResponse(later_parts(emit), background=BackgroundTask(emit, "background"))

    async def fail(_request: Any) -> None:
        say(user_id=8)
        raise LookupError

    async def handle(request: Any, _error: Exception) -> JSONResponse:
        request.state.tracker.emit("failed")
        return JSONResponse({}, 404)

    app = Starlette(
        routes=[Route("/stream", stream), Route("/fail", fail)],  # type: ignore[arg-type]
        exception_handlers={LookupError: handle},
    )
    client = TestClient(EventPubMiddleware(app, settings))
    assert client.get("/stream").text == "xxx"
    assert client.get("/fail").status_code == 404
    assert users_of(queue.events) == [
        ("part 0", 7), ("part 1", 7), ("part 2", 7), ("background", 7), ("failed", 8),
    ]  # fmt: skip
    background = queue.events[3]["context"]["request"]
    assert (background["status_code"], background["duration_ms"] > 0) == (200, True)
    assert (
        "status_code" not in queue.events[0]["context"]["request"]
        or queue.events[0]["context"]["request"]["status_code"] == 200
    )


@pytest.mark.parametrize("place", ["around", "added"])
def test_the_handler_of_all_exceptions_has_the_request_also_where_the_middleware_is_added(
    place: str, queue: MemoryQueue[Any], settings: dict[str, Any]
):
    async def fail(_request: Any) -> None:
        say(user_id=7)
        raise ZeroDivisionError

    async def handle(request: Any, _error: Exception) -> PlainTextResponse:
        request.state.tracker.emit("failed")
        return PlainTextResponse("sorry", 500)

    app: Any = Starlette(
        routes=[Route("/", fail)],  # type: ignore[arg-type]
        exception_handlers={Exception: handle},
        middleware=[Middleware(EventPubMiddleware, settings)] if place == "added" else [],
    )
    app = EventPubMiddleware(app, settings) if place == "around" else app
    client = TestClient(app, raise_server_exceptions=False)
    for request_id in ("r-1", "r-2"):
        assert client.get("/", headers={"X-Request-ID": request_id}).text == "sorry"
    assert users_of(queue.events) == [("failed", 7)] * 2
    assert [event["context"]["request"]["id"] for event in queue.events] == ["r-1", "r-2"]
    assert current_request() == {}


def test_a_mounted_application_with_a_middleware_of_its_own_has_the_same_request(
    queue: MemoryQueue[Any], settings: dict[str, Any]
):
    async def outer(request: Any) -> PlainTextResponse:
        request.state.tracker.emit("outer")
        return PlainTextResponse("")

    async def inner(request: Any) -> PlainTextResponse:
        request.state.tracker.emit("inner")
        return PlainTextResponse("")

    def log_in(app: Any) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope["state"]["tracker"].emit("before")
                say(user_id=7)
            await app(scope, receive, send)

        return serve

    shop = Starlette(
        routes=[Route("/teas/{kind}", inner)], middleware=[Middleware(EventPubMiddleware, settings)]
    )
    app = Starlette(routes=[Mount("/shop", shop), Route("/", outer)])
    client = TestClient(EventPubMiddleware(log_in(app), settings))
    client.get("/shop/teas/oolong")
    before, event = queue.events
    assert before["context"]["request"]["id"] == event["context"]["request"]["id"]
    assert (event["context"]["user_id"], event["context"]["request"]["path"]) == (7, "/shop/teas/oolong")
    assert event["context"]["request"]["route"] == "/shop/teas/{kind}"


def test_wsgi_middleware_around_wsgi_middleware_is_one_request(tracker: Tracker, memory: MemoryBackend):
    def app(_environ: Any, start_response: Any) -> list[bytes]:
        tracker.emit("inner")
        start_response("200 OK", [])
        return []

    twice = RequestContextMiddleware(RequestContextMiddleware(app))
    for _ in range(2):
        twice({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)
    ids = [event["context"]["request"]["id"] for event in memory.events]
    assert len(set(ids)) == 2


def test_what_a_connection_has_of_the_request_before_is_gone_after_the_next(
    tracker: Tracker, settings: dict[str, Any]
):
    left: list[contextvars.Context] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        say(user_id="A")
        tracker.enter_context("bare", {"bare": True})
        left.append(contextvars.copy_context())

    async def serve() -> dict[str, Any]:
        await middleware({"type": "http", "path": "/", "headers": []}, None, None)  # type: ignore[arg-type]
        return tracker.resolve_context()

    middleware = EventPubMiddleware(app, settings)
    asyncio.run(serve())
    assert left[0].run(tracker.resolve_context)["user_id"] == "A"
    assert left[0].run(asyncio.run, serve()) == {}


# --- Flask and WSGI --------------------------------------------------------------------------------------


@pytest.fixture
def flask_app(settings: dict[str, Any]) -> Flask:
    app = Flask(__name__)
    app.config.update(EVENTPUB_QUEUE=settings["queue"], EVENTPUB_SERIALIZER="json")
    return app


def test_behind_proxy_fix_the_client_is_the_one_that_flask_sees_in_whichever_order_they_wrap(
    flask_app: Flask, queue: MemoryQueue[Any]
):
    flask_app.wsgi_app = ProxyFix(flask_app.wsgi_app)  # type: ignore[method-assign]
    events = EventPub(flask_app)

    @flask_app.get("/")
    def look() -> str:
        events.tracker.emit("look")
        return ""

    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "shop.example.com"}
    flask_app.test_client().get("/", headers=headers)
    assert [event["context"]["request"]["client_address"] for event in queue.events] == ["203.0.113.9"]


def test_in_flask_hooks_streams_and_closing_have_what_was_said_with_route_and_status(
    flask_app: Flask, queue: MemoryQueue[Any]
):
    events = EventPub(flask_app)

    @flask_app.before_request
    def log_in() -> None:
        say(user_id=7)
        events.tracker.enter_context("bare", {"bare": True})

    @flask_app.get("/teas/<kind>")
    def teas(kind: str) -> Any:
        emit = events.tracker.emit
        tracker = events.tracker

        def parts() -> Iterator[str]:
            try:
                with tracker.context("stream", kind=kind):
                    for number in range(2):
                        emit(f"part {number}")
                        yield "x"
            finally:
                emit("closed")

        return flask_app.response_class(stream_with_context(parts()))

    @flask_app.teardown_request
    def tear_down(_error: Any) -> None:
        events.tracker.emit("torn down")

    client = flask_app.test_client()
    assert client.get("/teas/oolong").data == b"xx"
    assert client.get("/none").status_code == 404
    by_name = {
        event["name"]: event["context"] for event in queue.events if event["context"].get("user_id") == 7
    }
    assert set(by_name) == {"part 0", "part 1", "closed", "torn down"}
    assert [by_name[name].get("kind") for name in ("part 0", "part 1", "closed")] == ["oolong", "oolong", None]
    assert all(context["bare"] for context in by_name.values())
    assert by_name["part 1"]["request"]["route"] == "/teas/<kind>"
    assert by_name["part 1"]["request"]["status_code"] == 200
    assert len({event["context"]["request"]["id"] for event in queue.events}) == 2


def test_streams_that_one_thread_serves_by_turns_keep_their_contexts_to_themselves(
    tracker: Tracker, memory: MemoryBackend
):
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        tracker.enter_context("bare", {"bare": environ["PATH_INFO"]})

        def parts() -> Iterator[bytes]:
            with tracker.context("block", {"block": environ["PATH_INFO"]}):
                for _ in range(2):
                    tracker.emit(environ["PATH_INFO"])
                    yield b""

        return parts()

    serve = RequestContextMiddleware(app)
    streams = [iter(serve({"PATH_INFO": path}, lambda *_: None)) for path in ("/a", "/b")]
    for _ in range(2):
        for stream in streams:
            next(stream)
            tracker.emit("between")
    for stream in streams:
        assert list(stream) == []
    for event in memory.events:
        said = event["context"]
        path = event["name"]
        if path == "between":
            assert said == {}
        else:
            assert (said["bare"], said["block"], said["request"]["path"]) == (path, path, path)


def test_the_applications_own_header_for_ids_is_a_setting(flask_app: Flask, queue: MemoryQueue[Any]):
    flask_app.config["EVENTPUB_REQUEST_ID_HEADER"] = "X-Correlation-ID"
    events = EventPub(flask_app)
    flask_app.add_url_rule("/", "look", lambda: events.tracker.emit("look") or "")
    flask_app.test_client().get("/", headers={"X-Correlation-ID": "c-1", "X-Request-ID": "r-1"})
    assert [event["context"]["request"]["id"] for event in queue.events] == ["c-1"]


# --- OpenTelemetry ---------------------------------------------------------------------------------------


def test_the_trace_is_that_of_the_running_span_of_opentelemetry():
    trace_id = 0x4BF92F3577B34DA6A3CE929D0E0E4736
    span = trace.NonRecordingSpan(trace.SpanContext(trace_id, 1, is_remote=False))
    environ = {"PATH_INFO": "/", "HTTP_B3": "0" * 31 + "1-0000000000000001"}
    with trace.use_span(span):
        assert from_environ(environ)["trace_id"] == f"{trace_id:032x}"
    assert from_environ(environ)["trace_id"] == "0" * 31 + "1"


# --- asynchronous generators that are left behind --------------------------------------------------------


def test_a_generator_that_is_left_behind_ends_with_the_request_it_began_in_and_not_with_another(
    queue: MemoryQueue[Any], settings: dict[str, Any]
):
    left: list[Any] = []

    async def parts(emit: Any) -> AsyncIterator[bytes]:
        try:
            yield b""
        finally:
            emit("left behind")

    async def leave(request: Any) -> PlainTextResponse:
        say(user_id="A")
        generator = parts(request.state.tracker.emit)
        await anext(generator)
        cycle: list[Any] = [generator]
        cycle.append(cycle)
        left.append(True)
        return PlainTextResponse("")

    async def collect(request: Any) -> PlainTextResponse:
        say(user_id="B")
        gc.collect()
        await asyncio.sleep(0.01)
        request.state.tracker.emit("collected")
        return PlainTextResponse("")

    app = EventPubMiddleware(Starlette(routes=[Route("/leave", leave), Route("/collect", collect)]), settings)
    gc.disable()
    try:
        with TestClient(app) as client:
            client.get("/leave")
            client.get("/collect")
    finally:
        gc.enable()
    assert users_of(queue.events) == [("left behind", "A"), ("collected", "B")]


# --- lifespan --------------------------------------------------------------------------------------------


def test_an_application_without_a_lifespan_gets_one():
    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        assert scope["type"] == "http"

    async def main() -> list[str]:
        sent: list[str] = []
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await drained(app)({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(main()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_application_that_fails_to_start_fails_as_before():
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})
        raise LookupError

    async def main() -> None:
        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(_message: Any) -> None:
            pass

        with pytest.raises(LookupError):
            await drained(app)({"type": "lifespan"}, receive, send)

    asyncio.run(main())


def test_an_application_whose_start_raises_is_not_said_to_have_started():
    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        raise LookupError

    async def main() -> list[str]:
        sent: list[str] = []

        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        with pytest.raises(LookupError):
            await drained(app)({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(main()) == []
