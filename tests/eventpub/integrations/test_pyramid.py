"""`config.include("eventpub.integrations.pyramid")` inside the real Pyramid, with a real queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from support.web import EXAMPLES, HEADERS, SMALL_AUTO, TRACE_ID, buy_from_example, requests_of, take_events
from webtest import TestApp

from eventpub import ConfigError, EventQueueFullError, EventSerializationError
from eventpub.integrations import current_request, say, with_request
from eventpub.schemas.event.ttypes import Event

ENVIRON = {"REQUEST_METHOD": "GET", "SERVER_NAME": "shop", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
PARTS = tuple(f"part {number}".encode() for number in range(3))


@pytest.fixture
def application(queue_name: str) -> Iterator[Callable[..., TestApp]]:
    """Makes an application with a route for each view, by the view's name."""

    def make(*views: Callable[[Request], Response], before: Any = lambda _config: None, **more: str) -> TestApp:
        settings = {**SMALL_AUTO, "queue_name": queue_name, **more}
        config = Configurator(settings={f"eventpub.{key}": value for key, value in settings.items()})
        before(config)
        for view in views:
            config.add_route(view.__name__, f"/{view.__name__}")
            config.add_view(view, route_name=view.__name__)
        config.include("eventpub.integrations.pyramid")
        opened.enter_context(closing(config.registry["eventpub"].queue))
        return TestApp(config.make_wsgi_app(), extra_environ={"REMOTE_ADDR": "203.0.113.9"})

    with ExitStack() as opened:
        yield make


def test_an_event_emitted_in_a_view_says_which_request(application: Callable[..., TestApp], queue_name: str):
    def buy(request: Request) -> Response:
        request.tracker.emit("buy", {"tea": "oolong"})
        return Response("sold")

    application(buy).get("/buy?card=1234", headers={**HEADERS, "X-Forwarded-For": "198.51.100.1"})
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


def test_a_thrift_event_is_put_as_it_is_and_with_its_request_by_with_request(
    application: Callable[..., TestApp], queue_name: str
):
    def buy(request: Request) -> Response:
        event = Event(source="shop", action="buy", noun="tea")
        request.events_v2.put(event)
        request.events_v2.put(with_request(event))
        return Response("sold")

    application(buy, serializer="v2").get("/buy", headers=HEADERS)
    bare, told = take_events(queue_name)
    assert bare == {"1": {"str": "shop"}, "2": {"str": "buy"}, "3": {"str": "tea"}}
    assert told["21"]["rec"]["11"] == {"str": TRACE_ID}


def test_what_the_tracker_emits_goes_down_a_version_2_queue(
    application: Callable[..., TestApp], queue_name: str
):
    def buy(request: Request) -> Response:
        request.tracker.emit("buy")
        return Response("sold")

    application(buy, serializer="v2").get("/buy", headers=HEADERS)
    (event,) = take_events(queue_name)
    assert event["21"]["rec"]["1"] == {"str": "r-17"}


def test_a_queue_takes_version_2_events_and_nothing_else_unless_it_is_told(
    application: Callable[..., TestApp], queue_name: str
):
    def sell(request: Request) -> Response:
        with pytest.raises(EventSerializationError):
            request.events_v2.put({"name": "shop.tea.buy"})
        request.tracker.emit("shop.tea.buy")
        return Response("sold")

    application(sell, serializer="").get("/sell")
    (event,) = take_events(queue_name)
    assert event["3"] == {"str": "tea"}


def test_exception_views_and_tweens_below_have_it_too(application: Callable[..., TestApp], queue_name: str):
    def fails(_request: Request) -> Response:
        raise LookupError

    def rescue(_error: LookupError, request: Request) -> Response:
        request.tracker.emit("rescued")
        return Response("rescued")

    def set_up(config: Configurator) -> None:
        config.add_exception_view(rescue, context=LookupError)
        config.add_tween(f"{__name__}.emitting_tween")

    application(fails, before=set_up).get("/fails", headers=HEADERS)
    assert [request["id"] for request in requests_of(queue_name)] == ["r-17"] * 2


def emitting_tween(handler: Callable[[Request], Response], registry: Any) -> Callable[[Request], Response]:
    def tween(request: Request) -> Response:
        registry["eventpub"].tracker.emit("tween")
        return handler(request)

    return tween


def test_parts_of_a_streamed_answer_have_it_and_its_length_stays(
    application: Callable[..., TestApp], queue_name: str
):
    def parts(request: Request) -> Iterator[bytes]:
        for part in PARTS:
            request.tracker.emit("part")
            yield part

    def stream(request: Request) -> Response:
        return Response(app_iter=parts(request), content_length=sum(map(len, PARTS)))

    app = application(stream)
    assert app.get("/stream", headers=HEADERS).body == b"".join(PARTS)
    started: list[Any] = []
    app.app({**ENVIRON, "PATH_INFO": "/stream"}, lambda *status_and_headers: started.append(status_and_headers))
    assert ("Content-Length", "18") in started[0][1]
    assert [request["id"] for request in requests_of(queue_name)] == ["r-17"] * 3


def test_nothing_remains_after_a_request_however_it_ends(application: Callable[..., TestApp]):
    def fails(_request: Request) -> Response:
        raise ZeroDivisionError

    def abandoned() -> Iterator[bytes]:
        try:
            yield from PARTS
        finally:
            seen.append(current_request()["id"])

    def stream(_request: Request) -> Response:
        return Response(app_iter=abandoned())

    seen: list[str] = []
    app = application(fails, stream)
    with pytest.raises(ZeroDivisionError):
        app.get("/fails", headers=HEADERS)
    assert current_request() == {}
    body = app.app({**ENVIRON, "PATH_INFO": "/stream", "HTTP_X_REQUEST_ID": "r-17"}, lambda *_: None)
    assert next(iter(body)) == PARTS[0]
    assert current_request() == {}
    body.close()
    assert seen == ["r-17"]
    assert current_request() == {}


def test_concurrent_requests_never_see_each_other(application: Callable[..., TestApp], queue_name: str):
    def meet(request: Request) -> Response:
        barrier.wait(20)
        request.tracker.emit(request.headers["X-Request-ID"])
        barrier.wait(20)
        return Response(current_request()["id"])

    barrier = threading.Barrier(4)
    app = application(meet)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: app.get("/meet", headers={"X-Request-ID": number}).text, "0123"))
    assert answers == ["0", "1", "2", "3"]
    events = take_events(queue_name)
    assert sorted(event["name"] for event in events) == ["0", "1", "2", "3"]
    assert all(event["context"]["request"]["id"] == event["name"] for event in events)


def test_a_full_queue_fails_put_and_never_emit(application: Callable[..., TestApp], queue_name: str):
    def buy(request: Request) -> Response:
        request.tracker.emit("buy")
        with pytest.raises(EventQueueFullError):
            request.events_v2.put({"name": "buy"})
        return Response("sold")

    app = application(buy, max_queue_size="1")
    assert [app.get("/buy").text for _ in range(3)] == ["sold"] * 3
    assert len(take_events(queue_name)) == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"queue_nam": "x"}, r"\[eventpub\] queue_nam: unknown key; did you mean queue_name\?"),
        (
            {"serializer": "yaml"},
            r"\[eventpub\] serializer = yaml: expected v2, json, auto, or package\.module",
        ),
        ({"max_queue_size": "0"}, r"\[eventpub\] max_queue_size = 0: expected a whole number from 1"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start(
    application: Callable[..., TestApp], setting: dict[str, str], message: str
):
    with pytest.raises(ConfigError, match=message):
        application(**setting)


def test_a_serializer_may_be_named_by_where_it_is(application: Callable[..., TestApp], queue_name: str):
    def buy(request: Request) -> Response:
        request.events_v2.put({"tea": "oolong"})
        return Response("sold")

    application(buy, serializer="eventpub.serialization.serialize:serialize_json_event").get("/buy")
    assert take_events(queue_name) == [{"tea": "oolong"}]


def test_a_sub_request_is_a_part_of_the_request_that_makes_it(
    application: Callable[..., TestApp], queue_name: str
):
    def outer(request: Request) -> Response:
        say(user_id=7)
        request.tracker.emit("outer")
        return request.invoke_subrequest(Request.blank("/inner"), use_tweens=True)

    def inner(request: Request) -> Response:
        request.tracker.emit("inner")
        return Response("")

    app = application(outer, inner)
    app.get("/outer")
    app.get("/inner")
    first, second, alone = take_events(queue_name)
    assert first["context"]["request"]["id"] == second["context"]["request"]["id"]
    assert (second["context"]["user_id"], second["context"]["request"]["path"]) == (7, "/outer")
    assert alone["context"]["request"]["id"] != first["context"]["request"]["id"]
    assert "user_id" not in alone["context"]


def test_a_file_is_left_to_the_server(application: Callable[..., TestApp]):
    def page(request: Request) -> Response:
        return FileResponse(str(EXAMPLES / "pyramid_shop.py"), request=request)

    app = application(page).app
    environ = {**ENVIRON, "PATH_INFO": "/page", "wsgi.file_wrapper": FileWrapper}
    body = app(environ, lambda *_: None)
    assert type(body) is FileWrapper
    body.close()


def test_a_stream_knows_route_status_and_how_long_it_took(application: Callable[..., TestApp], queue_name: str):
    def parts(request: Request) -> Iterator[bytes]:
        try:
            request.tracker.emit("part")
            yield b"x"
        finally:
            request.tracker.emit("end")

    def stream(request: Request) -> Response:
        return Response(app_iter=parts(request), status=202)

    application(stream).get("/stream")
    part, end = requests_of(queue_name)
    assert (part["route"], part["status_code"], "duration_ms" in part) == ("/stream", 202, False)
    assert end["status_code"] == 202


def test_the_example_runs_as_it_stands(queue_name: str):
    (event,) = buy_from_example("pyramid_shop.py", queue_name)
    assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")
    assert event.properties == {"kind": "oolong"}
    assert event.request.trace_id == TRACE_ID
