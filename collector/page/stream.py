"""The feed as server-sent events: all that is kept, then what is new, and the counts every second.

A reader fetches from the ring at its own pace: what waits for a slow one is at most one portion. It learns how
many entries had to go before it came.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import gevent

import eventpub

from .kept import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .feed import Feed

# what a browser takes in without a pause that anybody notices
PORTION_EVENTS = 500
PORTION_CHARACTERS = 256 * 1024
# a reader that is behind gets 40,000 events a second, for less than a tenth of the process's time
_BEHIND_SECONDS, _IDLE_SECONDS = 0.0125, 0.1
_ID = re.compile(r"(\w+)-(\d{1,19})-(\d{1,19})", re.ASCII)
_TALLY_SECONDS = 1.0
_ALIVE_SECONDS = 15.0  # a line for proxies, and to find out that the reader has left


def stream_feed(feed: Feed, last_event_id: str, about: Mapping[str, object]) -> Iterator[bytes]:
    """Yield messages until the feed is closed.

    Args:
        feed: it.
        last_event_id: where the reader stopped reading before; empty for all that is kept.
        about: what the first message says beside the epoch.
    """
    epoch, place = "", Place()
    if found := _ID.fullmatch(last_event_id):
        epoch, place = found[1], Place(int(found[2]), int(found[3]))
    tallied_at = spoken_at = 0.0
    while not feed.is_closed:
        if epoch != feed.epoch:  # at the start, and after a reset
            epoch, place = feed.epoch, Place()
            first = {**about, "epoch": epoch, "version": eventpub.__version__, "max_events": feed.max_events}
            yield _message("hello", json.dumps(first))
            tallied_at = 0.0
        portion = feed.read(place, PORTION_EVENTS, PORTION_CHARACTERS)
        missed = portion.missed if any(place) else 0  # what went before a reader came is no loss to it
        place = portion.place
        now = time.monotonic()
        if missed:
            yield _message("gap", str(missed))
        if portion.lines:
            yield _message("events", "\ndata:".join(portion.lines), f"{epoch}-{place.stored}-{place.refused}")
            spoken_at = now
        if now - tallied_at >= _TALLY_SECONDS:
            tallied_at = spoken_at = now
            yield _message("tallies", json.dumps({"now": time.time(), **feed.tallies.to_json()}))
        elif now - spoken_at >= _ALIVE_SECONDS:
            spoken_at = now
            yield b":\n\n"
        gevent.sleep(_BEHIND_SECONDS if portion.has_more else _IDLE_SECONDS)


def _message(kind: str, data: str, number: str = "") -> bytes:
    identified = f"id:{number}\n" if number else ""
    return f"event:{kind}\n{identified}data:{data}\n\n".encode()
