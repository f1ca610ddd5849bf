"""A tea shop in a container: `curl -X POST localhost:8000/buy/oolong` puts an event."""

from __future__ import annotations

import signal
import sys
import uuid
from typing import TYPE_CHECKING
from wsgiref.simple_server import make_server

from eventpub import EventQueue, serialize_v2_event
from eventpub.schemas.event.ttypes import Event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

queue = EventQueue("v2", serialize_v2_event)


def shop(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Sell the tea that the path names."""
    tea = environ["PATH_INFO"].removeprefix("/buy/")
    queue.put(Event(source="shop", action="buy", noun=tea, uuid=str(uuid.uuid4())))
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [f"sold {tea}\n".encode()]


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit()
    )  # which the first process of a container ignores otherwise
    make_server("", 8000, shop).serve_forever()
