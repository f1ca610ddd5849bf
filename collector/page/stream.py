"""The feed as server-sent events: all that is kept, then what is new, and the counts every second.

A reader fetches from the ring at its own pace: what waits for a slow one is at most one portion. It learns how
many entries had to go before it came.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import gevent

import eventpub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .feed import Feed

_PORTION_EVENTS = 2000
# a reader that is behind gets 40,000 events a second, for less than a tenth of the process's time
_BEHIND_SECONDS, _IDLE_SECONDS = 0.05, 0.1
_TALLY_SECONDS = 1.0
_ALIVE_SECONDS = 15.0  # a line for proxies, and to find out that the reader has left


def stream_feed(feed: Feed, last_event_id: str, about: Mapping[str, object]) -> Iterator[bytes]:
    """Yield messages until the feed is closed.

    Args:
        feed: it.
        last_event_id: where the reader stopped reading before; empty for all that is kept.
        about: what the first message says beside the epoch.
    """
    epoch, after = "", 0
    if last_event_id.startswith(f"{feed.epoch}-"):
        epoch, number = feed.epoch, last_event_id.partition("-")[2]
        after = int(number) if number.isdecimal() and len(number) < 20 else 0  # noqa: PLR2004, digits
    tallied_at = spoken_at = 0.0
    while not feed.is_closed:
        if epoch != feed.epoch:  # at the start, and after a reset
            epoch, after = feed.epoch, 0
            first = {**about, "epoch": epoch, "version": eventpub.__version__, "max_events": feed.max_events}
            yield _message("hello", json.dumps(first))
            tallied_at = 0.0
        portion = feed.read(after, _PORTION_EVENTS)
        missed = portion.missed if after else 0  # what went before a reader came is no loss to it
        after = portion.last
        now = time.monotonic()
        if missed:
            yield _message("gap", str(missed))
        if portion.lines:
            yield _message("events", "\ndata:".join(portion.lines), f"{epoch}-{after}")
            spoken_at = now
        if now - tallied_at >= _TALLY_SECONDS:
            tallied_at = spoken_at = now
            yield _message("tallies", json.dumps({"now": time.time(), **feed.tallies.to_json()}))
        elif now - spoken_at >= _ALIVE_SECONDS:
            spoken_at = now
            yield b":\n\n"
        gevent.sleep(_BEHIND_SECONDS if len(portion.lines) == _PORTION_EVENTS else _IDLE_SECONDS)


def _message(kind: str, data: str, number: str = "") -> bytes:
    identified = f"id:{number}\n" if number else ""
    return f"event:{kind}\n{identified}data:{data}\n\n".encode()
