"""WSGI middleware: binds the request while the application runs and while its response is iterated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventpub import ambient

from .describe import REQUEST_ID_HEADER, from_environ
from .served import REQUEST_KEY, ServedRequest, is_served
from .streams import BoundBody

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class RequestContextMiddleware:
    """Wrap a WSGI application so that events emitted during a request carry its description.

    Args:
        app: the application.
        request_id_header: which has the request's id.
    """

    def __init__(self, app: WSGIApplication, *, request_id_header: str = REQUEST_ID_HEADER) -> None:
        self.app = app
        self._request_id_header = request_id_header

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        if is_served(environ.get(REQUEST_KEY)):  # by a middleware around this one
            return self.app(environ, start_response)
        header = self._request_id_header
        served = ServedRequest(lambda: from_environ(environ, request_id_header=header))
        environ[REQUEST_KEY] = id(served)

        def start(status: str, headers: Any, *more: Any) -> Any:
            if status[:3].isdecimal():
                served.know(status_code=int(status[:3]))
            return start_response(status, headers, *more)

        with ambient.Running(served):
            body = self.app(environ, start)
        bound: Iterable[bytes] = finish_made(body, environ, served)
        return bound


def finish_made(body: Any, environ: WSGIEnvironment, served: ServedRequest) -> Any:
    """Return the body, bound to its request unless all parts are there.

    They are in a list, whose length servers ask for, and in a file that they can send.
    """
    file = environ.get("wsgi.file_wrapper")
    if isinstance(body, (list, tuple)) or (isinstance(file, type) and isinstance(body, file)):
        served.finish()
        return body
    return BoundBody(body, served)
