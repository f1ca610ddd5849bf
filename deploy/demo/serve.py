"""One of the shop's processes: serves the socket it inherits until SIGTERM, and times every `put`."""

# ruff: noqa: E402, INP001, a script beside run.py in which gevent comes first

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import signal
import socket
import sys
from array import array
from pathlib import Path
from time import perf_counter_ns

import gevent
from app import Shop
from gevent.pywsgi import WSGIServer

from eventpub import EventQueue, serialize_v2_event
from eventpub.schemas.event.ttypes import Event


class TimedQueue(EventQueue[Event]):
    """An EventQueue that notes how long each `put` took, with its waits for room."""

    nanoseconds: array[int] = array("q")

    def put(self, event: Event, timeout: float = 0.0) -> None:
        """Serialize an event and enqueue it."""
        started = perf_counter_ns()
        try:
            super().put(event, timeout)
        finally:
            self.nanoseconds.append(perf_counter_ns() - started)


def main(queue_name: str, listening_fd: str, times_path: str) -> None:
    """Serve until SIGTERM; then write the times, eight bytes each."""
    queue = TimedQueue(queue_name, serialize_v2_event)
    listener = socket.socket(fileno=int(listening_fd))
    server = WSGIServer(listener, Shop(queue), log=None, environ={"wsgi.multiprocess": True})
    gevent.signal_handler(signal.SIGTERM, server.stop, 5)
    server.serve_forever()
    Path(times_path).write_bytes(queue.nanoseconds.tobytes())
    print(f"stopped {queue!r}")  # noqa: T201, its log


if __name__ == "__main__":
    main(*sys.argv[1:])
