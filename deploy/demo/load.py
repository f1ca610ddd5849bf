"""One client: buys tea as fast as it gets answers, and writes each answer to stdout as it came."""

# ruff: noqa: INP001, S311, T201, a script beside run.py that draws teas at random and writes to stdout

from __future__ import annotations

import http.client
import random
import sys
import time

TEAS = ("assam", "darjeeling", "gunpowder", "lapsang", "sencha")
REQUESTS_PER_CONNECTION = 100  # then another process of the shop may get it


def main(port: str, seconds: str) -> None:
    """Send requests until the time is over."""
    deadline = time.monotonic() + float(seconds)
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    sent = 0
    while time.monotonic() < deadline:
        connection.request("POST", f"/buy/{random.choice(TEAS)}")
        print(connection.getresponse().read().decode(), flush=True)
        sent += 1
        if sent % REQUESTS_PER_CONNECTION == 0:
            connection.close()  # the next request opens it again


if __name__ == "__main__":
    main(*sys.argv[1:])
