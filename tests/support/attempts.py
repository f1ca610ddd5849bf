"""Attempts of the sidecar's poster: in this process, and in one that gevent has patched, as the sidecar is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventpub.sidecar.delivery.answer import Answer
from eventpub.sidecar.delivery.payload import Payload
from eventpub.sidecar.delivery.post import Poster

from .waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from typing_extensions import Self

PAYLOAD = Payload(b'[{"example": "value"}]', {"Content-Type": "application/json", "User-Agent": "tests"})
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

Attempt = Callable[..., Answer]

_DEFAULTS: Mapping[str, Any] = {"timeout_seconds": DEADLINE_SECONDS, "concurrency": 1}
_WORKER = """
from gevent import monkey
monkey.patch_all()
import dataclasses, json, sys, time
import gevent
from eventpub.sidecar.delivery.payload import Payload
from eventpub.sidecar.delivery.post import Poster

longest_gap_seconds = 0.0

def tick():
    global longest_gap_seconds
    last = time.monotonic()
    while True:
        gevent.sleep(0.005)
        longest_gap_seconds = max(longest_gap_seconds, time.monotonic() - last)
        last = time.monotonic()

for line in sys.stdin:
    url, options, body, headers = json.loads(line)
    poster = Poster(url, **options)
    longest_gap_seconds = 0.0
    ticker = gevent.spawn(tick)
    answer = poster.post(Payload(body.encode(), headers))
    ticker.kill()
    poster.close()
    print(json.dumps([dataclasses.asdict(answer), longest_gap_seconds], default=sorted), flush=True)
"""


def attempt_here(url: str, payload: Payload = PAYLOAD, **options: Any) -> Answer:
    """Make one attempt in this process, with a poster of its own."""
    poster = Poster(url, **{**_DEFAULTS, **options})
    try:
        return poster.post(payload)
    finally:
        poster.close()


class PatchedAttempts:
    """Attempts in a process that gevent has patched; call it as `attempt_here`.

    Attributes:
        longest_gap_seconds: how long other greenlets had to wait for their turn during the last attempt.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.longest_gap_seconds = 0.0
        self._worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environ or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.communicate(timeout=DEADLINE_SECONDS)

    def __call__(self, url: str, payload: Payload = PAYLOAD, **options: Any) -> Answer:
        """Make one attempt, with a poster of its own."""
        assert self._worker.stdin
        assert self._worker.stdout
        given = {**_DEFAULTS, **options}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
        order = (url, plain, payload.body.decode(), dict(payload.headers))
        self._worker.stdin.write(json.dumps(order) + "\n")
        self._worker.stdin.flush()
        fields, self.longest_gap_seconds = json.loads(self._worker.stdout.readline())
        sets = {"rejected": tuple(fields["rejected"]), "codings": frozenset(fields["codings"])}
        return Answer(**fields | sets)
