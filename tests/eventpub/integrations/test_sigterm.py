"""A worker whose SIGTERM has its default action, and events that wait in it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

WORKER = """
import asyncio, sys, time

from eventpub.integrations.lifespan import drained
from eventpub.tracking import AsyncBackend, Tracker


class Slow:
    only_reads = True

    def send(self, event):
        time.sleep(0.01)
        print(event["name"], flush=True)


tracker = Tracker({"slow": AsyncBackend(Slow())})


async def app(scope, receive, send):
    raise ValueError("no lifespan here")


async def serve(sleep):
    messages = [{"type": "lifespan.startup"}]

    async def receive():
        while not messages:
            await sleep(60)
        return messages.pop()

    async def send(message):
        for number in range(20):
            tracker.emit(str(number))
        print("ready", flush=True)

    await drained(app)({"type": "lifespan"}, receive, send)


if sys.argv[1] == "trio":
    import trio

    trio.run(serve, trio.sleep)
elif sys.argv[1] == "uvloop":
    import uvloop

    uvloop.run(serve(asyncio.sleep))
else:
    asyncio.run(serve(asyncio.sleep))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_sigterm_ends_a_worker_that_was_told_nothing_else_after_what_waits_is_delivered(loop: str):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, loop], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    with worker:
        lines = []
        for line in worker.stdout:
            lines.append(line.strip())
            if lines[-1] == "ready":
                worker.terminate()
                worker.terminate()  # which does not end it sooner
    assert [line for line in lines if line != "ready"] == [str(number) for number in range(20)]
    assert worker.returncode == -signal.SIGTERM
