"""Deliberate faults: the fake collector of all tests, which is the real one behind a script.

A script is a JSON list of steps. Every POST takes the next step; when none is left, service is as usual.

| step                                        | what a POST gets                                            |
|---------------------------------------------|-------------------------------------------------------------|
| `{"status": 503, "headers": {}, "body": ""}`| that answer; nothing is stored                              |
| `{"close": "before_read"}` or `after_read`  | a closed connection and no answer; nothing is stored        |
| `{"delay": 1.5}`                            | what it would get, after so many seconds; goes with others  |
| `{"freeze": 60}`                            | the same, and nobody else gets anything meanwhile           |
| `{"accept_then": "close"}`                  | service, but its answer is lost                             |
| `{"half_answer": true}`                     | service, and half of the answer; or half of the `status`    |
| `{"hang": true}`                            | nothing until the sender gives up; nothing is stored        |
| `{}`                                        | service                                                     |

`"times": 3` repeats a step, `"times": "forever"` does so until there is a new script. From the loopback,
`PUT /faults` replaces the script, and `GET /faults/log` returns the POSTs seen so far.
"""

from __future__ import annotations

import collections
import http
import ipaddress
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey

from eventpub import wire
from eventpub.collector.http.connection import CONNECTION, HangUp

from .responses import Response, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_LOGGED_REQUESTS = 10_000
MAX_SCRIPT_BYTES = 1024**2
MAX_BODY_BYTES = 16 * 1024**2  # of a request that is read for nothing

_STATUSES = range(200, 600)

_sleep_original = monkey.get_original("time", "sleep")  # which keeps the hub from turning


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a script, as the table above has it."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    close: str = ""
    delay: float = 0.0  # seconds; the names are those of the script
    freeze: float = 0.0  # seconds
    accept_then: str = ""
    half_answer: bool = False
    hang: bool = False
    times: int | str = 1


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "status": ("a status from 200 to 599", lambda value: type(value) is int and value in _STATUSES),
    "headers": ("an object of texts", _is_texts),
    "body": ("a text", lambda value: isinstance(value, str)),
    "close": ("before_read or after_read", lambda value: value in ("before_read", "after_read")),
    "delay": ("seconds", lambda value: type(value) in (int, float) and value >= 0),
    "freeze": ("seconds", lambda value: type(value) in (int, float) and value >= 0),
    "accept_then": ("close", lambda value: value == "close"),
    "half_answer": ("true or false", lambda value: isinstance(value, bool)),
    "hang": ("true or false", lambda value: isinstance(value, bool)),
    "times": (
        "a number from 1, or forever",
        lambda value: value == "forever" or (type(value) is int and value > 0),
    ),
}


def read_script(text: bytes) -> list[Step]:
    """Read a script.

    Raises:
        ValueError: it is none; the message names step and key.
    """
    document = json.loads(text)
    if not isinstance(document, list) or not all(isinstance(step, dict) for step in document):
        raise ValueError("expected a list of objects")
    for number, step in enumerate(document, 1):
        for key, value in step.items():
            if key not in _CHECKS:
                raise ValueError(f"step {number}: unknown key {key!r} (known: {', '.join(_CHECKS)})")
            allowed, is_allowed = _CHECKS[key]
            if not is_allowed(value):
                raise ValueError(f"step {number}: {key} takes {allowed}, not {value!r}")
    return [Step(**step) for step in document]


class Faults:
    """A WSGI application that plays a script in front of another one.

    Args:
        application: what serves where the script has no say.
        script: the first steps.
    """

    def __init__(self, application: WSGIApplication, script: Sequence[Step]) -> None:
        self._application = application
        self._log: collections.deque[dict[str, Any]] = collections.deque(maxlen=MAX_LOGGED_REQUESTS)
        self._load(script)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or fail to."""
        if environ["PATH_INFO"] in ("/faults", "/faults/log"):
            answer = self._control(environ)
            body = answer.body()
            start_response(answer.status_line, answer.all_headers(body))
            return [body]
        if environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        entry = _log_entry(environ)
        self._log.append(entry)
        try:
            return self._play(self._next_step(), environ, start_response, entry)
        finally:
            entry["body_bytes"] = environ["wsgi.input"].bytes_read

    def _play(
        self, step: Step, environ: WSGIEnvironment, start_response: StartResponse, entry: dict[str, Any]
    ) -> Iterable[bytes]:
        if step.close == "before_read":
            raise HangUp
        if step.close or step.hang or step.status is not None:
            environ["wsgi.input"].read(MAX_BODY_BYTES)
        gevent.sleep(step.delay)
        _sleep_original(step.freeze)
        if step.hang:
            environ[CONNECTION].wait_for_close()
        if step.hang or step.close:
            raise HangUp
        status, headers, body = (
            self._serve(environ) if step.status is None else _answer_scripted(step, step.status)
        )
        entry["status"] = int(status[:3])
        if step.accept_then:
            raise HangUp
        start_response(status, headers)
        return _send_half(body) if step.half_answer else [body]

    def _serve(self, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
        """Let the application answer, but keep the answer back."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None, /) -> Any:
            started.append((status, headers))

        body = b"".join(self._application(environ, start_response))
        return *started[0], body

    def _load(self, script: Sequence[Step]) -> None:
        self._steps = collections.deque(script)
        self._played = 0  # how often the first of them was

    def _next_step(self) -> Step:
        if not self._steps:
            return Step()
        step = self._steps[0]
        self._played += 1
        if step.times == self._played:
            self._steps.popleft()
            self._played = 0
        return step

    def _control(self, environ: WSGIEnvironment) -> Response:
        if not ipaddress.ip_address(environ["REMOTE_ADDR"]).is_loopback:
            return refuse(403, "forbidden", "faults are scripted from the loopback")
        asked = (environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if asked == ("GET", "/faults/log"):
            return Response(200, {"requests": list(self._log)})
        if asked != ("PUT", "/faults"):
            return refuse(405, "method_not_allowed", "use PUT /faults or GET /faults/log")
        try:
            script = read_script(environ["wsgi.input"].read(MAX_SCRIPT_BYTES))
        except ValueError as error:
            return refuse(400, "bad_script", str(error))
        self._load(script)
        return Response(200, {"steps": len(script)})


def _log_entry(environ: WSGIEnvironment) -> dict[str, Any]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith(("HTTP_", "CONTENT_"))
    }
    return {
        "at": time.time(),
        "path": environ["PATH_INFO"],
        "headers": headers,
        "batch_id": headers.get(wire.IDEMPOTENCY_HEADER),
        "attempt": headers.get(wire.ATTEMPT_HEADER),
        "body_bytes": 0,  # as sent; those that were read
        "status": None,  # of the answer made, whether or not it was sent; None where none was
    }


def _answer_scripted(step: Step, status: int) -> tuple[str, list[tuple[str, str]], bytes]:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Scripted"
    body = step.body.encode()
    headers = {**dict(Response(status, {}).all_headers(body)), **step.headers}
    return f"{status} {phrase}", list(headers.items()), body


def _send_half(body: bytes) -> Iterable[bytes]:
    yield body[: len(body) // 2]
    raise HangUp
