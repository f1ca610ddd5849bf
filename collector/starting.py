"""What is answered before the store is open: that the process lives, and that batches must wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .receipts import answer_unavailable
from .responses import FACTS, QUIET, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class StartingApplication:
    """The WSGI callable that stands in for `Application` until there is a store.

    Attributes:
        reason: what is waited for.
    """

    def __init__(self) -> None:
        self.reason = "it is being opened"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        facts = environ.setdefault(FACTS, {})
        if environ["PATH_INFO"] == "/livez":
            environ[QUIET] = True
            answer = Response(200, {"status": "ok"})
        else:
            facts["error"] = "store_unavailable"
            answer = answer_unavailable(self.reason)
        body = answer.body()
        start_response(answer.status_line, answer.all_headers(body))
        return [body]
