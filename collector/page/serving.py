"""The page's own port: one static page, the stream it reads, and the interface for tests.

It takes no events and needs no key: everyone who reaches the port sees all events. So it listens on the
loopback unless the configuration says otherwise, and no web page but ours may use it (`guard`).
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from eventpub.collector.responses import FACTS, QUIET, RefusedError, refuse

from .asking import OUTCOMES, answer_question, read_question
from .guard import HEADERS, find_objection
from .stream import stream_feed
from .words import describe_class

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from eventpub.collector.responses import Response

    from .feed import Feed

logger = logging.getLogger(__name__)

MAX_READERS = 32  # streams and waiting questions at a time
MAX_CONNECTIONS = 2 * MAX_READERS

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_MICRO = re.compile(r"/micro/(all|good|bad)")
_JSON = "application/json"


class _Answer(NamedTuple):
    status: str
    kind: str
    body: Iterable[bytes]
    headers: tuple[tuple[str, str], ...] = ()


class PageApplication:
    """The WSGI callable of the page's port.

    Args:
        feed: what is shown.
        names: by which this host may be asked, beside addresses and localhost.
        collector_url: where events are posted.
    """

    def __init__(self, feed: Feed, names: Collection[str], collector_url: str) -> None:
        self._feed = feed
        self._names = names
        self._collector_url = collector_url
        self._readers = 0
        self._files = {
            f"/{'' if path.name == 'index.html' else path.name}": (_TYPES[path.suffix], path.read_bytes())
            for path in _FOLDER.iterdir()
            if path.suffix in _TYPES
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        environ[QUIET] = True
        environ.setdefault(FACTS, {})
        try:
            answer = self._route(environ)
        except RefusedError as error:
            answer = _refused(error.response)
        except Exception:
            logger.exception("the page failed on a request path=%r", environ["PATH_INFO"])
            answer = _refused(refuse(500, "internal_error", "the page failed on this request; see the log"))
        headers = [("Content-Type", answer.kind), *HEADERS, *answer.headers]
        if isinstance(answer.body, list):
            headers.append(("Content-Length", str(sum(map(len, answer.body)))))
        start_response(answer.status, headers)
        return answer.body

    def _route(self, environ: WSGIEnvironment) -> _Answer:
        objection = find_objection(environ, self._names)
        if objection is not None:
            return _refused(refuse(403, "forbidden", objection))
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] == "/micro/reset":
            return self._reset() if method == "POST" else _not_allowed(method, "POST")
        return self._get(environ) if method in ("GET", "HEAD") else _not_allowed(method, "GET, HEAD")

    def _reset(self) -> _Answer:
        self._feed.reset()
        return _Answer("200 OK", _JSON, [b'{"reset": true}\n'])

    def _get(self, environ: WSGIEnvironment) -> _Answer:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if path in self._files:
            kind, content = self._files[path]
            return _Answer("200 OK", kind, [content])
        if path == "/micro/stream":
            return self._stream(environ)
        if path == "/micro/schema":
            return self._describe(parse_qs(query).get("key", [""])[0])
        if found := _MICRO.fullmatch(path):
            return self._ask(found[1], query)
        known = ", ".join(f"/micro/{outcome}" for outcome in OUTCOMES)
        return _refused(refuse(404, "not_found", f"no such path; there are /, {known} and POST /micro/reset"))

    def _stream(self, environ: WSGIEnvironment) -> _Answer:
        self._check_room()
        if environ["REQUEST_METHOD"] == "HEAD":
            return _Answer("200 OK", "text/event-stream", [])
        messages = stream_feed(
            self._feed, environ.get("HTTP_LAST_EVENT_ID", ""), {"collector": self._collector_url}
        )
        return _Answer(
            "200 OK", "text/event-stream", self._count_reader(messages), (("X-Accel-Buffering", "no"),)
        )

    def _ask(self, outcome: str, query: str) -> _Answer:
        self._check_room()
        question = read_question(outcome, query)
        self._readers += 1
        try:
            status, body = answer_question(self._feed, question)
        finally:
            self._readers -= 1
        return _Answer("200 OK" if status == 200 else "404 Not Found", _JSON, [body])  # noqa: PLR2004

    def _describe(self, key_name: str) -> _Answer:
        cls = self._feed.schemas.find_class(key_name)
        return _Answer("200 OK", _JSON, [json.dumps(cls and describe_class(cls)).encode()])

    def _check_room(self) -> None:
        if self._readers >= MAX_READERS:
            reason = f"{MAX_READERS} pages and tests read already; close some"
            raise RefusedError(refuse(503, "too_many_readers", reason))

    def _count_reader(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        self._readers += 1
        try:
            yield from messages
        finally:
            self._readers -= 1


def _refused(answer: Response) -> _Answer:
    return _Answer(answer.status_line, _JSON, [answer.body()], answer.headers)


def _not_allowed(method: str, allowed: str) -> _Answer:
    reason = f"{method} is not allowed here; use {allowed}"
    return _refused(refuse(405, "method_not_allowed", reason, (("Allow", allowed),)))
