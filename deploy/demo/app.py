"""A tea shop as a plain WSGI application: its request handlers put events, and know nothing of what follows."""

# ruff: noqa: INP001, a script beside run.py

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventpub import EventError, EventQueue
from eventpub.schemas.event.ttypes import Event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


@dataclass
class Context:
    """What a handler may use, by name; baseplate makes one for each request."""

    events_v2: EventQueue[Event]


def buy(context: Context, tea: str) -> str:
    """Handle POST /buy/TEA."""
    event = Event(
        source="shop",
        action="buy",
        noun=tea,
        uuid=str(uuid.uuid4()),
        client_timestamp=time.time_ns() // 1_000_000,
    )
    try:
        context.events_v2.put(event, timeout=0.1)
    except EventError:  # full for 0.1 s, or too large an event: the tea is sold all the same
        return f"{event.uuid} unrecorded"
    return f"{event.uuid} recorded"


class Shop:
    """The WSGI callable."""

    def __init__(self, events_v2: EventQueue[Event]) -> None:
        self._context = Context(events_v2)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        tea = environ["PATH_INFO"].removeprefix("/buy/")
        answer = buy(self._context, tea)
        start_response("201 Created", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
        return [answer.encode()]
