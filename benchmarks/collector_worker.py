"""One measured process of `benchmarks.collector`: the yardstick, or inserts into a table that grows."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import sys
import time
import uuid
from pathlib import Path

from eventpub import serialize_v2_event, wire
from eventpub.collector.store import EventRow, IncomingBatch
from eventpub.collector.store.sqlite import SqliteStore
from eventpub.schemas.event.ttypes import Event, User

KEY, SECRET = "bench", "aHVudGVyMg=="
BATCH_EVENTS = 1600

_YARDSTICK = """
CREATE TABLE events (id INTEGER PRIMARY KEY, received_at REAL, batch_id TEXT, key_name TEXT, source TEXT,
    action TEXT, noun TEXT, client_timestamp INTEGER, uuid TEXT, user_id TEXT, event TEXT);
CREATE INDEX by_time ON events (received_at);
CREATE INDEX by_kind ON events (source, action, noun);
CREATE INDEX by_user ON events (user_id);
"""


def make_bodies(batches: int, *, seed: int) -> list[bytes]:
    """Return bodies of 1,600 events of 190 bytes."""
    randomness = random.Random(seed)
    return [
        wire.container("2", [serialize_v2_event(_make_event(randomness)) for _ in range(BATCH_EVENTS)])
        for _ in range(batches)
    ]


def _make_event(randomness: random.Random) -> Event:
    return Event(
        source="shop",
        action=randomness.choice(["buy", "view", "sell", "return"]),
        noun=randomness.choice(["oolong", "sencha", "assam"]),
        client_timestamp=1_700_000_000_000 + randomness.randrange(10**9),
        uuid=str(uuid.UUID(int=randomness.getrandbits(128))),
        user=User(id=f"t2_{randomness.randrange(10**7)}", is_logged_in=True),
    )


def _measure_yardstick(path: Path, batches: int) -> float:
    """Return the CPU time of decoding and inserting an event, in microseconds."""
    texts = [body[body.index(b",") + 1 :] for body in make_bodies(batches, seed=batches)]
    events = [[text.encode() for text in _split(body)] for body in texts]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = full")
        connection.executescript(_YARDSTICK)
        started = time.process_time()
        for number, batch in enumerate(events):
            connection.execute("BEGIN")
            origin = (time.time(), f"{number:032d}", KEY)
            connection.executemany(
                "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (origin + _make_row(text) for text in batch),
            )
            connection.execute("COMMIT")
        return (time.process_time() - started) / (batches * BATCH_EVENTS) * 1e6


def _split(body: bytes) -> list[str]:
    decoder, text = json.JSONDecoder(), body.decode()
    found, place = [], text.index(",") + 1
    while text[place] == "{":
        _, end = decoder.raw_decode(text, place)
        found.append(text[place:end])
        place = end + 1
    return found


def _make_row(text: bytes) -> tuple[object, ...]:
    event = json.loads(text)
    return (
        event["1"]["str"],
        event["2"]["str"],
        event["3"]["str"],
        event["4"]["i64"],
        event["5"]["str"],
        event["20"]["rec"]["1"]["str"],
        text.decode(),
    )


def _measure_growth(path: Path, small: int, large: int) -> list[float]:
    """Return the CPU time of storing an event in our store at two sizes of its table, in microseconds."""
    randomness = random.Random(0)
    found = []
    with contextlib.closing(
        SqliteStore(path, synchronous="normal", busy_timeout_seconds=1, dedupe_memory_seconds=3600)
    ) as store:
        stored = 0
        for size in (small, large):
            while stored < size:
                store.add(_make_batch(randomness))
                stored += BATCH_EVENTS
            batches = [_make_batch(randomness) for _ in range(60)]
            started = time.process_time()
            for batch in batches:
                store.add(batch)
            found.append((time.process_time() - started) / (len(batches) * BATCH_EVENTS) * 1e6)
            stored += len(batches) * BATCH_EVENTS
    return found


def _make_batch(randomness: random.Random) -> IncomingBatch:
    rows = []
    for _ in range(BATCH_EVENTS):
        id_ = f"{randomness.getrandbits(128):032x}"
        user = f"t2_{randomness.randrange(10**7)}"
        kind = randomness.choice(["buy", "view", "sell", "return"])
        text = f'{{"source":"shop","action":"{kind}","noun":"tea","uuid":"{id_}","user":{{"id":"{user}"}}}}'
        rows.append(EventRow("shop", kind, "tea", None, 1.7e12, id_, None, user, text))
    batch_id = f"{randomness.getrandbits(128):032x}"
    return IncomingBatch(KEY, batch_id, True, b"d" * 32, "2", time.time(), rows)


if __name__ == "__main__":
    what, path, *numbers = sys.argv[1:]
    measure = {"yardstick": _measure_yardstick, "growth": _measure_growth}[what]
    print(json.dumps(measure(Path(path), *map(int, numbers))))
