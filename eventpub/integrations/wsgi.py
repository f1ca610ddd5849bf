"""WSGI middleware: binds the request while the application runs and while its response is iterated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .describe import from_environ
from .request_context import bound
from .streams import BoundBody

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class RequestContextMiddleware:
    """Wrap a WSGI application so that events emitted during a request carry its description.

    Args:
        app: the application.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        request = from_environ(environ)
        with bound(request):
            body = self.app(environ, start_response)
        return body if _is_made(body, environ) else BoundBody(body, request)


def _is_made(body: Any, environ: WSGIEnvironment) -> bool:
    """Return whether all parts exist already: a list, whose length servers ask for, or a file they can send."""
    file = environ.get("wsgi.file_wrapper")
    return isinstance(body, (list, tuple)) or (isinstance(file, type) and isinstance(body, file))
