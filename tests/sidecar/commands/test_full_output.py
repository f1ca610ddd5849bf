"""What prints and cannot says so, and ends with a code of its own, whichever command it is."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from support.commands import SpoolFolder
from support.forked import in_child
from support.letters import fill, write_config
from support.nursery import Nursery, NurserySidecar

from eventpub.cli import main
from eventpub.cli.exit_codes import EXIT_IO
from eventpub.collector import cli as collector_cli
from eventpub.collector.store.sqlite import SqliteStore
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar import cli as sidecar_cli

UUID = "11111111-2222-4333-8444-555555555555"
PROGRAMS = {"sidecar": sidecar_cli.main, "collector": collector_cli.main}  # without gevent's patches
Ended = tuple[int, str]


def run_into(path: str, words: tuple[object, ...]) -> Ended:
    """Run a command in this process, whose standard output goes to a file."""
    target = os.open(path, os.O_WRONLY)
    os.dup2(target, 1)
    os.close(target)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115, the descriptor of the process
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            texts = [str(word) for word in words]
            code = PROGRAMS[texts[0]](texts[1:]) if texts[0] in PROGRAMS else main(texts)
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()  # as the interpreter does when it exits
    return code, said.getvalue()


@contextlib.contextmanager
def busy(queue: MessageQueue) -> Iterator[None]:
    """Put an event again and again."""
    over = threading.Event()

    def put() -> None:
        while not over.wait(0.01):
            queue.send(b'{"n":1}')

    putting = threading.Thread(target=put)
    putting.start()
    try:
        yield
    finally:
        over.set()
        putting.join()


def test_every_command_whose_output_is_full_ends_with_74_and_says_so(
    nursery: Nursery, tmp_path: Path, queue: MessageQueue, spool: SpoolFolder
) -> None:
    sidecar = NurserySidecar(nursery, tmp_path, queue.name, 9, collector_version="2j")
    fill(spool, 2)
    spool.batch(1, [b"{}"])
    spool.batch(2, [b"{}"], suffix=".open")
    config = write_config(tmp_path / "of-spool.ini", spool, "localhost:9")
    store = tmp_path / "store.sqlite"
    SqliteStore(store, synchronous="normal", busy_timeout_seconds=1, dedupe_memory_seconds=3600).close()
    keys = tmp_path / "collector.ini"
    keys.write_text(f"[collector]\nstore = sqlite:{store}\n[keys]\ntest = d3Jvbmc=\n")
    there, kept = ("--queue-name", queue.name, sidecar.config), ("--spool", spool.directory)
    lines = [
        ("--version",),
        ("--help",),
        ("status", *there),
        ("status", *there, "--json"),
        ("top", "--once", "--interval", "200ms", *there),
        ("where", UUID, *there),
        ("tap", queue.name, sidecar.config),
        ("doctor",),
        ("doctor", "--json"),
        ("queue", "show", queue.name),
        ("queue", "show", queue.name, "--json"),
        ("queue", "create", queue.name),
        ("queue", "resize", queue.name, "--max-messages", 10),
        ("spool", "status", *kept),
        ("spool", "check", *kept, "--json"),
        ("spool", "export", *kept),
        ("spool", "repair", *kept),
        ("dead-letters", "list", *kept),
        ("dead-letters", "show", *kept, "--all"),
        ("dead-letters", "replay", config, "--all", "--dry-run"),
        ("dead-letters", "drop", *kept, "--all", "--yes"),
        ("store", "export", "--format", "csv", store),
        ("put", queue.name, "{}"),
        ("completion", "bash"),
        ("sidecar", "--check-config", *there),
        ("sidecar", "--help"),
        ("collector", "--check-config", keys),
    ]

    def run(words: tuple[object, ...]) -> Ended:
        with busy(queue) if words[0] == "tap" else contextlib.nullcontext():
            return run_into("/dev/full", words)

    try:
        for words in lines:
            code, said = in_child(lambda words=words: run(words))
            assert code == EXIT_IO, (words, said)
            assert "standard output: No space left on device" in said, (words, said)
    finally:
        sidecar.kill()
