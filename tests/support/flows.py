"""Flows of execution that do what a test tells them, one step at a time: threads, tasks, greenlets and streams.

Each serves one request through the real middleware, or runs on as what a request has started.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import greenlet

from eventpub.integrations.asgi import EventPubMiddleware
from eventpub.integrations.wsgi import RequestContextMiddleware
from eventpub.testing import MemoryQueue

Step = Callable[[], Any]


def environ_of(request_id: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_REQUEST_ID": request_id}


def serve_wsgi(request_id: str, steps: Callable[[], None]) -> None:
    """Serve a request that takes steps until there are no more."""

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        steps()
        start_response("200 OK", [])
        return []

    RequestContextMiddleware(app)(environ_of(request_id), lambda *_: None)


class Worker:
    """A thread that serves one request after the other, as those of a server do."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self.is_free = True

    def do(self, step: Step) -> Any:
        self._inbox.put(step)
        return self._outbox.get(timeout=20)

    def begin(self, request_id: str) -> None:
        self.is_free = False
        self._inbox.put(lambda: serve_wsgi(request_id, self._work) or "served")

    def end(self) -> None:
        """End the request, or the thread if it serves none."""
        self._inbox.put(None)
        if not self.is_free:
            assert self._outbox.get(timeout=20) == "served"
        self.is_free = True

    def _work(self) -> None:
        while (step := self._inbox.get()) is not None:
            self._outbox.put(step())


class Task:
    """A request that a task of an event loop serves, or a task that a request has started."""

    middleware = EventPubMiddleware(lambda scope, *_: scope["steps"](), {"queue": MemoryQueue()})

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._inbox: asyncio.Queue[Step | None] = asyncio.Queue()
        self._results: list[Any] = []
        self._task: asyncio.Task[None]

    @classmethod
    def begin(cls, loop: asyncio.AbstractEventLoop, request_id: str, connection: contextvars.Context) -> Task:
        """Begin a request in a callback of a connection, which has the context it has."""
        task = cls(loop)
        headers = [(b"x-request-id", request_id.encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "steps": task._work}
        task._task = connection.run(loop.create_task, cls.middleware(scope, None, None))  # type: ignore[arg-type]
        return task

    def spawn(self) -> Task:
        """Start a task; called within the one that starts it."""
        child = Task(self._loop)
        child._task = self._loop.create_task(child._work())
        return child

    def do(self, step: Step) -> Any:
        self._inbox.put_nowait(step)
        while not self._results:
            self._loop.run_until_complete(asyncio.sleep(0))
        return self._results.pop()

    def end(self) -> None:
        self._inbox.put_nowait(None)
        self._loop.run_until_complete(self._task)

    async def _work(self) -> None:
        while (step := await self._inbox.get()) is not None:
            self._results.append(step())


class Greenlet:
    """A request that a greenlet serves, or a greenlet that a request has started."""

    def __init__(self, request_id: str | None, context: contextvars.Context | None = None) -> None:
        run = self._work if request_id is None else lambda: serve_wsgi(request_id, self._work)
        self._greenlet = greenlet.greenlet(run)
        if context is not None:
            self._greenlet.gr_context = context
        self._greenlet.switch()

    def do(self, step: Step) -> Any:
        return self._greenlet.switch(step)

    def end(self) -> None:
        self._greenlet.switch(None)
        assert self._greenlet.dead

    def _work(self) -> None:
        parent = greenlet.getcurrent().parent
        result: Any = None
        while (step := parent.switch(result)) is not None:
            result = step()


class Stream:
    """A request whose answer is made part by part, by turns with others in one thread."""

    def __init__(self, request_id: str) -> None:
        self._steps: list[Step] = []
        self._results: list[Any] = []

        def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            return self._parts()

        self._body: Any = RequestContextMiddleware(app)(environ_of(request_id), lambda *_: None)

    def do(self, step: Step) -> Any:
        self._steps.append(step)
        next(self._body)
        return self._results.pop()

    def end(self) -> None:
        self._body.close()

    def _parts(self) -> Iterator[bytes]:
        while True:
            self._results.append(self._steps.pop()())
            yield b""
