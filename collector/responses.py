"""The answer to a request: a status and JSON, in one form for every stage and every error."""

from __future__ import annotations

import http
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import encodings

if TYPE_CHECKING:
    from collections.abc import Mapping

FACTS = "eventpub.facts"  # environ key: a dict of what the access log is to say besides
QUIET = "eventpub.quiet"  # environ key: there if the access log is to say nothing

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Response:
    """A status, the fields of the JSON body, and headers beside those that every answer has."""

    status: int
    fields: Mapping[str, object]
    headers: Headers = ()

    @property
    def status_line(self) -> str:
        """Return the status with its phrase."""
        return f"{self.status} {http.HTTPStatus(self.status).phrase}"

    def body(self) -> bytes:
        """Return the body."""
        return json.dumps(self.fields).encode() + b"\n"

    def all_headers(self, body: bytes) -> list[tuple[str, str]]:
        """Return the headers that go with `body`; Accept-Encoding says what may be sent (RFC 7694)."""
        return [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Accept-Encoding", ", ".join(encodings.ACCEPTED)),
            *self.headers,
        ]


def refuse(status: int, error: str, reason: str, headers: Headers = (), **fields: object) -> Response:
    """Return a refusal: a code for programs, a reason for people, and further `fields`."""
    return Response(status, {"error": error, "reason": reason, **fields}, headers)


class RefusedError(Exception):
    """Raised by a stage that refuses a request: `response` is its answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response
