"""`eventpub.integrations.flask` inside the real Flask, with a real queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from wsgiref.util import FileWrapper

import pytest
from flask import Flask, current_app, send_file
from support.web import EXAMPLES, HEADERS, SMALL_AUTO, TRACE_ID, buy_from_example, requests_of, take_events

from eventpub import ConfigError, EventQueueFullError
from eventpub.integrations import current_request, with_request
from eventpub.integrations.describe import from_environ
from eventpub.integrations.flask import EventPub
from eventpub.integrations.request_context import bound
from eventpub.schemas.event.ttypes import Event


@pytest.fixture
def app(queue_name: str) -> Flask:
    app = Flask("shop")
    app.config.update({f"EVENTPUB_{key.upper()}": value for key, value in SMALL_AUTO.items()})
    app.config["EVENTPUB_QUEUE_NAME"] = queue_name
    return app


@pytest.fixture
def events(app: Flask) -> Iterator[EventPub]:
    events = EventPub(app)
    with closing(app.extensions["eventpub"].queue):
        yield events


def test_an_event_emitted_in_a_view_says_which_request(app: Flask, events: EventPub, queue_name: str):
    app.add_url_rule("/buy/<tea>", view_func=lambda tea: events.tracker.emit("buy", {"tea": tea}) or tea)
    assert app.test_client().get("/buy/tea?card=1234", headers=HEADERS).status_code == 200
    (event,) = take_events(queue_name)
    assert (event["name"], event["data"]) == ("buy", {"tea": "tea"})
    assert event["context"]["request"] == {
        "id": "r-17",
        "trace_id": TRACE_ID,
        "method": "GET",
        "host": "shop.example.com",
        "path": "/buy/tea",
        "route": "/buy/<tea>",
        "user_agent": "kettle/1.0",
        "client_address": "127.0.0.1",
    }


@pytest.mark.usefixtures("events")
def test_hooks_and_streamed_parts_have_it_too(app: Flask, queue_name: str):
    def parts() -> Iterator[str]:
        for part in "ab":
            tracker.emit(part)
            yield part

    tracker = app.extensions["eventpub"].tracker
    app.before_request(lambda: tracker.emit("before"))
    app.teardown_request(lambda _error: tracker.emit("teardown"))
    app.add_url_rule("/", view_func=parts)
    assert app.test_client().get("/", headers=HEADERS).data == b"ab"
    assert [request["id"] for request in requests_of(queue_name)] == ["r-17"] * 4


@pytest.mark.usefixtures("events")
def test_nothing_remains_after_a_request_however_it_ends(app: Flask):
    def abandoned() -> Iterator[str]:
        try:
            yield "first"
            yield "second"
        finally:
            seen.append(current_request()["id"])

    seen: list[str] = []
    app.add_url_rule("/fails", "fails", lambda: 1 / 0)
    app.add_url_rule("/streams", "streams", abandoned)
    client = app.test_client()
    assert client.get("/fails", headers=HEADERS).status_code == 500
    assert current_request() == {}
    answer = client.get("/streams", headers=HEADERS)
    assert next(answer.iter_encoded()) == b"first"
    assert current_request() == {}
    answer.close()
    assert seen == ["r-17"]
    assert current_request() == {}


@pytest.mark.usefixtures("events")
def test_an_exception_that_is_passed_on_leaves_nothing_either(app: Flask):
    app.testing = True
    app.add_url_rule("/fails", view_func=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/fails", headers=HEADERS)
    assert current_request() == {}


def test_concurrent_requests_never_see_each_other(app: Flask, events: EventPub, queue_name: str):
    def meet(number: str) -> str:
        barrier.wait(20)
        events.tracker.emit(number)
        barrier.wait(20)
        return current_request()["path"]

    barrier = threading.Barrier(4)
    app.add_url_rule("/<number>", view_func=meet)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda path: app.test_client().get(path).text, ("/0", "/1", "/2", "/3")))
    assert answers == ["/0", "/1", "/2", "/3"]
    seen = {event["name"]: event["context"]["request"] for event in take_events(queue_name)}
    assert {name: request["path"] for name, request in seen.items()} == {n: f"/{n}" for n in "0123"}
    assert len({request["id"] for request in seen.values()}) == 4


def test_a_full_queue_fails_put_and_never_emit(app: Flask, queue_name: str):
    def sell() -> str:
        events.tracker.emit("buy")
        with pytest.raises(EventQueueFullError):
            events.queue.put({"name": "buy"})
        return "sold"

    app.config["EVENTPUB_MAX_QUEUE_SIZE"] = 1
    events = EventPub(app)
    app.add_url_rule("/", view_func=sell)
    with closing(app.extensions["eventpub"].queue):
        assert [app.test_client().get("/").text for _ in range(3)] == ["sold"] * 3
    assert len(take_events(queue_name)) == 1


def test_a_thrift_event_takes_its_request_along_by_with_request(app: Flask, events: EventPub, queue_name: str):
    def sell() -> str:
        events.queue.put(with_request(Event(source="shop", action="buy", noun="tea")))
        return "sold"

    app.add_url_rule("/", view_func=sell)
    app.test_client().get("/", headers=HEADERS)
    (event,) = take_events(queue_name)
    assert event["21"]["rec"]["1"] == {"str": "r-17"}


def test_the_extension_serves_several_applications(events: EventPub, queue_name: str, app: Flask):
    other = Flask("other")
    other.config.update(EVENTPUB_QUEUE=app.extensions["eventpub"].queue)
    events.init_app(other)
    with other.app_context():
        events.tracker.emit("from the other")
        assert current_app.extensions["eventpub"].queue is events.queue
    assert len(take_events(queue_name)) == 1


@pytest.mark.usefixtures("events")
def test_a_file_is_left_to_the_server(app: Flask):
    app.add_url_rule("/", view_func=lambda: send_file(EXAMPLES / "flask_shop.py"))
    environ = app.test_request_context("/").request.environ
    body = app.wsgi_app({**environ, "wsgi.file_wrapper": FileWrapper}, lambda *_: None)
    assert type(body) is FileWrapper
    body.close()


def test_a_serializer_may_be_any_callable(app: Flask, queue_name: str):
    app.config["EVENTPUB_SERIALIZER"] = lambda event: f'"{event}"'.encode()
    EventPub(app)
    with closing(app.extensions["eventpub"].queue) as queue:
        queue.put("tea")
    assert take_events(queue_name) == ["tea"]


def test_a_setting_that_cannot_be_used_stops_the_start(app: Flask):
    app.config["EVENTPUB_QUEUE_NAM"] = "v2"
    with pytest.raises(ConfigError, match=r"\[EVENTPUB\] queue_nam: unknown key; did you mean queue_name\?"):
        EventPub(app)


def test_what_the_environment_has_for_others_stops_no_start(app: Flask):
    app.config.from_mapping(EVENTPUB_KEY="aHVudGVyMg==", EVENTPUB_HANDLERS="file=events")
    EventPub(app)
    app.extensions["eventpub"].queue.close()


def test_an_application_that_was_never_set_up_is_told_how(app: Flask):
    with app.app_context(), pytest.raises(RuntimeError, match=r"events\.init_app\(app\)"):
        EventPub().tracker.emit("buy")


def test_a_context_without_a_request_binds_one_as_the_page_says(app: Flask, events: EventPub, queue_name: str):
    with app.test_request_context("/buy/tea", headers=HEADERS) as context:
        events.tracker.emit("unbound")
        with bound(from_environ(context.request.environ)):
            events.tracker.emit("bound")
    unbound, told = requests_of(queue_name)
    assert unbound is None
    assert (told["id"], told["path"]) == ("r-17", "/buy/tea")


def test_the_example_runs_as_it_stands(queue_name: str):
    (event,) = buy_from_example("flask_shop.py", queue_name)
    assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")
    assert event.properties == {"kind": "oolong"}
    assert event.request.trace_id == TRACE_ID
    assert event.request.path == "/buy/oolong"
