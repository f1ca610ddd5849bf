"""One connection carries the requests of many users, as a proxy's does: none has another's context."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.waiting import wait_until

from eventpub.integrations import say
from eventpub.integrations.asgi import EventPubMiddleware
from eventpub.testing import MemoryQueue

LARGE = 200_000  # bytes of a body: more than is read before the server stops reading

servers = pytest.mark.parametrize(
    ("loop", "http"), [("asyncio", "h11"), ("asyncio", "httptools"), ("uvloop", "h11"), ("uvloop", "httptools")]
)


@contextlib.contextmanager
def serving(app: Any, loop: str, http: str) -> Iterator[socket.socket]:
    """A connection to a server of an application."""
    config = uvicorn.Config(app, port=0, loop=loop, http=http, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "uvicorn serves")
        with socket.create_connection(server.servers[0].sockets[0].getsockname()) as connection:
            yield connection
    finally:
        server.should_exit = True
        thread.join()


def read_answers(connection: socket.socket, number: int) -> None:
    connection.settimeout(20)
    with connection.makefile("rb") as answers:
        for _ in range(number):
            length = 0
            while (line := answers.readline()) != b"\r\n":
                assert line, "the server has hung up"
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answers.read(length)


def post(body_bytes: int = LARGE) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % body_bytes + b"x" * body_bytes


GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


async def read_body(receive: Callable[[], Any]) -> None:
    while (await receive()).get("more_body"):
        pass


async def answer(send: Callable[[Any], Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def make_app(queue: MemoryQueue[Any], bind: Callable[[Any], Any]) -> Any:
    """An application whose POST binds a user, and whose GET is anonymous."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tracker = scope["state"]["tracker"]
        if scope["method"] == "POST":
            with bind(tracker) or contextlib.nullcontext():
                await read_body(receive)
                tracker.emit("post")
                await answer(send)
        else:
            tracker.emit("get")
            await answer(send)

    return EventPubMiddleware(app, {"queue": queue, "serializer": "json"})


WAYS = {
    "a block": lambda tracker: tracker.context("user", {"user_id": "A"}),
    "a bare enter_context": lambda tracker: tracker.enter_context("user", {"user_id": "A"}),
    "say": lambda _tracker: say(user_id="A") and None,
}


@servers
@pytest.mark.parametrize("way", WAYS)
def test_an_anonymous_request_after_a_users_upload_on_the_same_connection_is_anonymous(
    loop: str, http: str, way: str
):
    queue: MemoryQueue[Any] = MemoryQueue()
    with serving(make_app(queue, WAYS[way]), loop, http) as connection:
        for _ in range(3):
            connection.sendall(post())
            read_answers(connection, 1)
            connection.sendall(GET)
            read_answers(connection, 1)
    assert [(event["name"], event["context"].get("user_id")) for event in queue.events] == [
        ("post", "A"),
        ("get", None),
    ] * 3


@servers
@pytest.mark.parametrize("way", WAYS)
def test_pipelined_requests_have_nothing_of_the_one_before_them(loop: str, http: str, way: str):
    queue: MemoryQueue[Any] = MemoryQueue()
    with serving(make_app(queue, WAYS[way]), loop, http) as connection:
        connection.sendall(post() + GET * 2 + post(10) + GET)
        read_answers(connection, 5)
    seen = [(event["name"], event["context"].get("user_id")) for event in queue.events]
    assert seen == [("post", "A"), ("get", None), ("get", None), ("post", "A"), ("get", None)]
    ids = [event["context"]["request"]["id"] for event in queue.events]
    assert len(set(ids)) == 5


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_middleware_of_starlette_that_binds_a_user_binds_it_for_its_own_request_only(http: str):
    queue: MemoryQueue[Any] = MemoryQueue()

    class Login:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["method"] == "POST":
                with scope["state"]["tracker"].context("user", {"user_id": "A"}):
                    await self.app(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    async def endpoint(request: Any) -> PlainTextResponse:
        await request.body()
        request.state.tracker.emit(request.method)
        return PlainTextResponse("ok")

    settings = {"queue": queue, "serializer": "json"}
    app = Starlette(
        routes=[Route("/", endpoint, methods=["GET", "POST"])],
        middleware=[Middleware(EventPubMiddleware, settings), Middleware(Login)],
    )
    with serving(app, "asyncio", http) as connection:
        connection.sendall(post())
        read_answers(connection, 1)
        connection.sendall(GET)
        read_answers(connection, 1)
    assert [event["context"].get("user_id") for event in queue.events] == ["A", None]


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_dependency_of_fastapi_that_binds_a_user_binds_it_for_its_own_request_only(http: str):
    queue: MemoryQueue[Any] = MemoryQueue()
    app = FastAPI()

    async def login(request: Request) -> Any:
        with request.state.tracker.context("user", {"user_id": "A"}):
            yield

    @app.post("/")
    async def upload(request: Request, _user: Annotated[Any, Depends(login)]) -> str:
        await request.body()
        request.state.tracker.emit("post")
        return "ok"

    @app.get("/")
    async def look(request: Request) -> str:
        request.state.tracker.emit("get")
        return "ok"

    around = EventPubMiddleware(app, {"queue": queue, "serializer": "json"})
    with serving(around, "asyncio", http) as connection:
        connection.sendall(post())
        read_answers(connection, 1)
        connection.sendall(GET)
        read_answers(connection, 1)
    assert [event["context"].get("user_id") for event in queue.events] == ["A", None]
    assert [event["context"]["request"]["route"] for event in queue.events] == ["/", "/"]
