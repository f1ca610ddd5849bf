"""`eventpub.integrations.django` inside the real Django, synchronous and asynchronous, with a real queue."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import pytest
from django.conf import settings
from django.core import management
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from support.web import EXAMPLES, HEADERS, SMALL_AUTO, TRACE_ID, buy_from_example, requests_of, take_events

from eventpub import ConfigError, EventQueueFullError
from eventpub.errors import QueueMissingError
from eventpub.integrations import current_request, say
from eventpub.integrations.django import EventPubMiddleware, events
from eventpub.integrations.wsgi import RequestContextMiddleware
from eventpub.queue.message_queue import MessageQueue
from eventpub.testing import MemoryQueue

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["eventpub.integrations.django.EventPubConfig"],
    MIDDLEWARE=["eventpub.integrations.django.EventPubMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()


@contextlib.contextmanager
def project(queue_name: str, *views: Callable[..., Any], **more: Any) -> Iterator[None]:
    """A project with a route for each view, by the view's name."""
    with override_settings(
        ROOT_URLCONF=tuple(path(view.__name__, view) for view in views),
        EVENTPUB={**SMALL_AUTO, "queue_name": queue_name, **more},
    ):
        try:
            yield
        finally:
            events().queue.close()


def test_an_event_emitted_in_a_view_says_which_request(queue_name: str):
    def buy(request: HttpRequest) -> HttpResponse:
        request.tracker.emit("buy", {"tea": "oolong"})
        return HttpResponse("sold")

    with project(queue_name, buy):
        Client().get("/buy?card=1234", headers=HEADERS)
    (event,) = take_events(queue_name)
    assert (event["name"], event["data"]) == ("buy", {"tea": "oolong"})
    assert event["context"]["request"] == {
        "id": "r-17",
        "trace_id": TRACE_ID,
        "method": "GET",
        "host": "shop.example.com",
        "path": "/buy",
        "route": "buy",
        "user_agent": "kettle/1.0",
        "client_address": "127.0.0.1",
    }


def test_an_asynchronous_view_has_it_and_so_have_its_threads_and_tasks(queue_name: str):
    async def buy(request: HttpRequest) -> HttpResponse:
        request.tracker.emit("view")
        await asyncio.to_thread(request.tracker.emit, "thread")
        await asyncio.create_task(emit_later(request.tracker.emit))
        return HttpResponse("sold")

    async def emit_later(emit: Callable[[str], None]) -> None:
        emit("task")

    with project(queue_name, buy):
        asyncio.run(AsyncClient().get("/buy", headers=HEADERS))
    events = take_events(queue_name)
    assert [event["name"] for event in events] == ["view", "thread", "task"]
    assert [event["context"]["request"]["id"] for event in events] == ["r-17"] * 3


def test_a_synchronous_view_has_it_on_an_asynchronous_server_and_the_other_way_round(queue_name: str):
    def sync(request: HttpRequest) -> HttpResponse:
        request.tracker.emit("sync")
        return HttpResponse(current_request()["path"])

    async def coroutine(request: HttpRequest) -> HttpResponse:
        request.tracker.emit("coroutine")
        return HttpResponse(current_request()["path"])

    with project(queue_name, sync, coroutine):
        assert asyncio.run(AsyncClient().get("/sync", headers=HEADERS)).content == b"/sync"
        assert Client().get("/coroutine", headers=HEADERS).content == b"/coroutine"
    assert [request["id"] for request in requests_of(queue_name)] == ["r-17"] * 2


def test_a_path_is_text_as_the_client_meant_it(queue_name: str):
    def told(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(current_request()["path"])

    told.__name__ = "thé"
    with project(queue_name, told):
        assert Client().get("/th%C3%A9").content.decode() == "/thé"


@pytest.mark.parametrize("response", [StreamingHttpResponse, FileResponse])
def test_parts_of_a_streamed_answer_have_it(response: type[StreamingHttpResponse], queue_name: str):
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        return response(parts(request))

    def parts(request: HttpRequest) -> Iterator[bytes]:
        for part in "ab":
            request.tracker.emit(part)
            yield part.encode()

    with project(queue_name, stream):
        answer = Client().get("/stream", headers=HEADERS)
        stream = iter(answer)
        assert next(stream) == b"a"
        assert current_request() == {}
        assert list(stream) == [b"b"]
    assert [request["id"] for request in requests_of(queue_name)] == ["r-17"] * 2


def test_parts_of_an_asynchronously_streamed_answer_have_it(queue_name: str):
    async def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(parts(request))

    async def parts(request: HttpRequest) -> AsyncIterator[str]:
        for part in "ab":
            await asyncio.sleep(0)
            request.tracker.emit(part)
            yield part

    async def main() -> None:
        answer = await AsyncClient().get("/stream", headers=HEADERS)
        seen = []
        async for part in answer:
            seen.append(part)
            assert current_request() == {}
        assert seen == [b"a", b"b"]

    with project(queue_name, stream):
        asyncio.run(main())
    assert [request["id"] for request in requests_of(queue_name)] == ["r-17"] * 2


def test_a_file_is_left_to_the_server(queue_name: str):
    def page(_request: HttpRequest) -> FileResponse:
        return FileResponse((EXAMPLES / "django_shop.py").open("rb"))

    with project(queue_name):
        answer = EventPubMiddleware(page)(RequestFactory().get("/page"))
        assert answer.file_to_stream is not None
        answer.close()


def test_nothing_remains_after_a_request_however_it_ends(queue_name: str):
    def fails(_request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    def stream(_request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(current_request()["path"] for _ in range(3))

    with project(queue_name, fails, stream):
        with pytest.raises(ZeroDivisionError):
            Client().get("/fails")
        assert current_request() == {}
        assert Client(raise_request_exception=False).get("/fails").status_code == 500
        assert current_request() == {}
        answer = Client().get("/stream")
        assert next(iter(answer)) == b"/stream"
        answer.close()
        assert current_request() == {}


def test_concurrent_requests_never_see_each_other(queue_name: str):
    def meet(request: HttpRequest) -> HttpResponse:
        barrier.wait(20)
        request.tracker.emit(request.headers["X-Request-ID"])
        barrier.wait(20)
        return HttpResponse(current_request()["id"])

    barrier = threading.Barrier(4)
    with project(queue_name, meet), ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda number: Client().get("/meet", headers={"X-Request-ID": number}).content, "0123")
        )
    assert answers == [b"0", b"1", b"2", b"3"]
    events = take_events(queue_name)
    assert sorted(event["name"] for event in events) == ["0", "1", "2", "3"]
    assert all(event["context"]["request"]["id"] == event["name"] for event in events)


def test_a_full_queue_fails_put_and_never_emit(queue_name: str):
    def buy(request: HttpRequest) -> HttpResponse:
        request.tracker.emit("buy")
        with pytest.raises(EventQueueFullError):
            request.events_v2.put({"name": "buy"})
        return HttpResponse("sold")

    with project(queue_name, buy, max_queue_size=1):
        assert [Client().get("/buy").content for _ in range(3)] == [b"sold"] * 3
    assert len(take_events(queue_name)) == 1


def test_events_may_be_put_outside_of_requests(queue_name: str):
    with project(queue_name):
        events().queue.put({"name": "nightly"})
        events().tracker.emit("nightly")
        assert events() is events()
    assert [event["name"] for event in take_events(queue_name)] == ["nightly"] * 2


def test_settings_that_cannot_be_used_are_found_by_check_and_stop_the_start(queue_name: str):
    with override_settings(EVENTPUB={"queue_name": queue_name, "queue_mod": 0o600}):
        with pytest.raises(management.CommandError, match=r"eventpub\.E001.*did you mean queue_mode\?"):
            management.call_command("check")
        with pytest.raises(ConfigError):
            EventPubMiddleware(HttpResponse)


def test_a_mode_written_in_python_is_the_mode_of_the_queue(queue_name: str):
    with project(queue_name, queue_mode=0o640):
        assert "its mode is" not in repr(events().queue)
        assert events().queue._queue.status().st_mode & 0o777 == 0o640


def test_commands_that_emit_nothing_open_no_queue(queue_name: str):
    with project(queue_name):
        management.call_command("check")
        with pytest.raises(QueueMissingError):
            MessageQueue.open(queue_name, create=False)


# --- what is said, and where it is over ------------------------------------------------------------------


def leave_behind(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            request.tracker.emit("left")

    say(user_id=request.GET["user"])
    return StreamingHttpResponse(parts())


def test_an_event_of_a_stream_that_the_client_left_has_its_request(queue_name: str):
    with project(queue_name, leave_behind):
        environ = RequestFactory().get("/leave_behind?user=A", headers=HEADERS).environ
        answer = WSGIHandler()(environ, lambda *_: None)
        assert next(iter(answer)) == b"a"
        answer.close()
    (event,) = take_events(queue_name)
    request = event["context"]["request"]
    assert (event["context"]["user_id"], request["id"], request["status_code"]) == ("A", "r-17", 200)
    assert request["duration_ms"] > 0


def test_an_asynchronous_stream_that_the_client_left_ends_with_its_own_request(queue_name: str):
    async def leave(request: HttpRequest) -> StreamingHttpResponse:
        say(user_id=request.GET["user"])
        return StreamingHttpResponse(parts(request))

    async def parts(request: HttpRequest) -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.sleep(60)
        finally:
            request.tracker.emit("left")

    async def main() -> None:
        await asyncio.gather(*(visit(user) for user in "ABC"))
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

    async def visit(user: str) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "path": "/leave", "query_string": f"user={user}".encode(), "headers": [(b"host", b"shop")],
            "client": ("203.0.113.9", 1),
            "server": ("shop", 80), "scheme": "http",
        }  # fmt: skip
        started = asyncio.Event()

        async def receive() -> Any:
            if not requested:
                requested.append(True)
                return {"type": "http.request", "body": b"", "more_body": False}
            await started.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body") == b"a":
                started.set()

        requested: list[bool] = []
        await ASGIHandler()(scope, receive, send)

    with project(queue_name, leave):
        asyncio.run(main())
    events = take_events(queue_name)
    assert sorted(event["context"]["user_id"] for event in events) == ["A", "B", "C"]
    assert len({event["context"]["request"]["id"] for event in events}) == 3


def test_handlers_of_the_signal_that_a_request_is_finished_have_it(queue_name: str):
    def page(_request: HttpRequest) -> HttpResponse:
        say(user_id=7)
        return HttpResponse("")

    def note(**_named: Any) -> None:
        events().tracker.emit("finished")

    with project(queue_name, page):
        request_finished.connect(note)
        try:
            answer = WSGIHandler()(RequestFactory().get("/page", headers=HEADERS).environ, lambda *_: None)
            answer.close()
        finally:
            request_finished.disconnect(note)
    (event,) = take_events(queue_name)
    assert (event["context"]["user_id"], event["context"]["request"]["id"]) == (7, "r-17")
    assert event["context"]["request"]["duration_ms"] > 0


def test_inside_other_middleware_of_ours_there_is_one_request(queue_name: str):
    def page(request: HttpRequest) -> HttpResponse:
        request.tracker.emit("page")
        return HttpResponse(current_request()["id"])

    outer: list[str] = []

    def around(environ: Any, start_response: Any) -> Any:
        outer.append(current_request()["id"])
        return WSGIHandler()(environ, start_response)

    with project(queue_name, page):
        environ = RequestFactory().get("/page").environ
        body = RequestContextMiddleware(around)(environ, lambda *_: None)
        assert b"".join(body).decode() == outer[0]
    assert [request["id"] for request in requests_of(queue_name)] == outer


# --- transactions ----------------------------------------------------------------------------------------


def order(request: HttpRequest) -> HttpResponse:
    with contextlib.suppress(LookupError), transaction.atomic():
        request.tracker.emit("placed", {"order": 1}, on_commit=True)
        request.tracker.emit("seen", on_commit=False)
        if "fail" in request.GET:
            raise LookupError
    request.tracker.emit("answered", on_commit=True)  # outside of a transaction
    return HttpResponse("")


def test_an_event_on_commit_is_sent_after_the_transaction_and_never_if_it_is_rolled_back(queue_name: str):
    with project(queue_name, order):
        Client().get("/order", headers=HEADERS)
        Client().get("/order?fail=1")
    events = take_events(queue_name)
    assert [event["name"] for event in events] == ["seen", "placed", "answered", "seen", "answered"]
    assert events[1]["context"]["request"]["id"] == "r-17"


def test_by_a_setting_all_events_wait_for_the_transaction(queue_name: str):
    def buy(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            request.tracker.emit("first")
            assert take_events(queue_name) == []
        return HttpResponse("")

    async def buy_async(request: HttpRequest) -> HttpResponse:
        request.tracker.emit("asynchronous")
        return HttpResponse("")

    with project(queue_name, buy, buy_async, on_commit=True):
        Client().get("/buy")
        asyncio.run(AsyncClient().get("/buy_async"))
        assert not events().tracker.failures
    assert [event["name"] for event in take_events(queue_name)] == ["first", "asynchronous"]


# --- settings of tests -----------------------------------------------------------------------------------


def redact(event: Any) -> Any:
    return {**event, "data": {**event["data"], "card": "redacted"}}


def test_processors_belong_to_the_settings_and_those_registered_stay_where_a_test_overrides_them(
    queue_name: str,
):
    def mark(event: Any) -> Any:
        return {**event, "data": {**event["data"], "marked": True}}

    name = f"{__name__}:redact"
    with project(queue_name, processors=name):
        first = events()
        assert first.tracker.processors == [redact]
        first.tracker.routing_backend.register_processor(mark)
        queue: MemoryQueue[Any] = MemoryQueue()
        with override_settings(EVENTPUB={"queue": queue, "serializer": "json"}):
            events().tracker.emit("n", {"card": "4111"})
            assert events().tracker.processors == [redact, mark]
        assert events() is first
        with override_settings(EVENTPUB={"queue": queue, "processors": [redact], "serializer": "json"}):
            assert events().tracker.processors == [redact, mark]
    assert [event["data"] for event in queue.events] == [{"card": "redacted", "marked": True}]


def test_settings_that_are_none_are_said_to_be_missing():
    with (
        override_settings(EVENTPUB=None),
        pytest.raises(management.CommandError, match="queue_name: is missing"),
    ):
        management.call_command("check")


def test_the_example_runs_as_it_stands(queue_name: str):
    (event,) = buy_from_example("django_shop.py", queue_name)
    assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")
    assert event.properties == {"kind": "oolong"}
    assert event.request.trace_id == TRACE_ID


def test_threads_that_ask_at_once_open_one_queue(queue_name: str):
    barrier = threading.Barrier(8)

    def ask(_: int) -> int:
        barrier.wait()
        return id(events())

    with project(queue_name), ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
