"""`eventpub.integrations.django` inside the real Django, synchronous and asynchronous, with a real queue."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import pytest
from django.conf import settings
from django.core import management
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from support.web import EXAMPLES, HEADERS, SMALL_AUTO, TRACE_ID, buy_from_example, requests_of, take_events

from eventpub import ConfigError, EventQueueFullError
from eventpub.errors import QueueMissingError
from eventpub.integrations import current_request
from eventpub.integrations.django import EventPubMiddleware, events
from eventpub.queue.message_queue import MessageQueue

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["eventpub.integrations.django.EventPubConfig"],
    MIDDLEWARE=["eventpub.integrations.django.EventPubMiddleware"],
    DATABASES={},
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


def test_the_example_runs_as_it_stands(queue_name: str):
    (event,) = buy_from_example("django_shop.py", queue_name)
    assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")
    assert event.properties == {"kind": "oolong"}
    assert event.request.trace_id == TRACE_ID
