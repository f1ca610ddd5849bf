"""What can be seen while the demo runs: one line that changes on a terminal, a line a second elsewhere."""

# ruff: noqa: INP001, T201, a script beside run.py that shows things

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from process import Process

LOOK_SECONDS = 0.1


def watch(folder: Path, clients: Iterable[Process], servers: Iterable[Process]) -> None:
    """Show the counts until all clients are done.

    Raises:
        DemoError: a client fails, or a server ends.
    """
    live = sys.stdout.isatty()
    started = shown_at = time.monotonic()
    running = [*clients]
    while running:
        time.sleep(LOOK_SECONDS)
        for server in servers:
            server.check()
        running = [client for client in clients if client.is_running()]
        now = time.monotonic()
        if live or not running or now >= shown_at + 1:
            shown_at = now
            line = f"  {now - started:4.1f} s  {counts(folder)}"
            print(f"\r{line}" if live else line, end="" if live and running else "\n", flush=True)


def counts(folder: Path) -> str:
    """Return how far requests and events have come."""
    answers = b"".join(log.read_bytes() for log in folder.glob("client-*.log"))
    requests, put = answers.count(b"\n"), answers.count(b" recorded\n")
    return f"{requests:8,} requests  {put:8,} events put  {stored(folder / 'events.sqlite'):8,} stored"


def stored(path: Path) -> int:
    """Return how many events the store has, as any other process can ask it."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
        (number,) = store.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
    return int(number)
