"""`make demo`: collector, sidecar and a small web shop as real processes, real requests, a count at the end.

It needs neither root nor a tuned kernel. Everything it writes is in one folder, `demo-run/` by default, and
stays there. At the end the queue is removed and every process stopped, also after a failure.
"""

# ruff: noqa: INP001, T201, a program that talks to its user

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import report
from process import DemoError, Process
from progress import watch

from eventpub.errors import QueueMissingError
from eventpub.queue.message_queue import MessageQueue

HERE = Path(__file__).resolve().parent

COLLECTOR_INI = """\
[collector]
listen = 127.0.0.1:0
store.path = {folder}/events.sqlite
page.listen = 127.0.0.1:0

[keys]
demo = {secret}
"""
SIDECAR_INI = """\
[event-publisher:{queue}]
collector.hostname = {hostname}
collector.scheme = http
key.name = demo
key.secret = {secret}
spool.dir = {folder}/spool
# what a fresh kernel grants to any user
max_queue_size = 10
max_message_size = 8192
"""
LOOK_FURTHER = """
Look further:
  {sqlite} {folder}/events.sqlite 'SELECT noun, count(*) FROM events GROUP BY noun'
  {sqlite} {folder}/events.sqlite 'SELECT event FROM events LIMIT 1'
  cat {folder}/sidecar.ini {folder}/sidecar.log
  cat {folder}/collector.ini {folder}/collector.log"""


def main() -> int:
    """Return the exit code: 0, 1 if anything is not as it should be, 130 when interrupted."""
    options = parse_arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    folder = make_folder(options.folder)
    try:
        run(folder, options.shops, options.clients, options.seconds, keep=options.keep)
    except DemoError as error:
        print(f"\nThe demo failed: {error}\nWhat was written is in {folder}.")
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted; everything is stopped. What was written is in {folder}.")
        return 130
    result = report.make(folder)
    print(f"\n{result}")
    print(LOOK_FURTHER.format(folder=shlex.quote(str(folder)), sqlite=sqlite_command()))
    return bool(result.faults)


def run(folder: Path, shops: int, clients: int, seconds: float, *, keep: bool) -> None:
    """Start everything, send requests, stop everything in the order of the data.

    With `keep` it waits for Ctrl-C before it stops, so that there is time to look at the page.

    Raises:
        DemoError: a process fails to start, to go on, to stop, or to exit with 0.
    """
    queue = f"demo-{os.getpid()}"
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(remove_queue, queue)

        def start(name: str, *command: str | Path, pass_fds: tuple[int, ...] = ()) -> Process:
            process = Process(name, folder / f"{name}.log")
            at_the_end.callback(process.end)
            process.launch(*command, pass_fds=pass_fds)
            return process

        print(f"Starting; every process writes to {folder}/NAME.log")
        config, url = folder / "collector.ini", folder / "collector.url"
        config.write_text(COLLECTOR_INI.format(folder=folder, secret=secret))
        collector = start("collector", "-m", "eventpub.collector", "--ready-file", url, config)
        collector.wait_until(url.exists)
        (page,) = re.findall(r"^page on (\S+)$", collector.log_path.read_text(), re.MULTILINE)
        print(f"  see them arrive: {page}", flush=True)

        config, hostname = folder / "sidecar.ini", url.read_text().strip().removeprefix("http://")
        config.write_text(SIDECAR_INI.format(folder=folder, secret=secret, queue=queue, hostname=hostname))
        sidecar = start("sidecar", "-m", "eventpub.sidecar", "--queue-name", queue, config)
        sidecar.wait_until(lambda: "started queue=" in sidecar.log_path.read_text())

        listener = at_the_end.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits 40 ms
        fd, port = listener.fileno(), listener.getsockname()[1]
        servers = [
            start(f"shop-{n}", HERE / "serve.py", queue, str(fd), folder / f"shop-{n}.times", pass_fds=(fd,))
            for n in range(1, shops + 1)
        ]
        servers += [sidecar, collector]

        print(f"Sending requests for {seconds:g} s")
        watch(
            folder,
            [start(f"client-{n}", HERE / "load.py", str(port), str(seconds)) for n in range(1, clients + 1)],
            servers,
        )

        if keep:
            wait_for_interrupt(page, servers)
        print("Stopping, in the order of the data")
        for process in servers:
            process.stop()


def wait_for_interrupt(page: str, servers: list[Process]) -> None:
    """Wait for Ctrl-C, as long as everything runs."""
    print(f"All requests are answered. The page stays at {page} until you press Ctrl-C.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            for server in servers:
                server.check()
            time.sleep(0.2)
    print()


def make_folder(wanted: Path | None) -> Path:
    """Return an empty folder: the given one, or `demo-run`, or a temporary one where that cannot be made."""
    try:
        folder = wanted or Path("demo-run")
        if wanted is None:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    except OSError as error:
        if wanted is not None:
            raise SystemExit(f"{wanted} cannot be made: {error.strerror}; give a new folder") from None
        folder = Path(tempfile.mkdtemp(prefix="eventpub-demo-"))
    return folder.resolve()


def remove_queue(name: str) -> None:
    """Remove the queue if it came to be."""
    with contextlib.suppress(QueueMissingError), MessageQueue.open(name, create=False) as queue:
        queue.unlink()


def sqlite_command() -> str:
    """Return the command that takes a database and a query, on this machine."""
    if shutil.which("sqlite3"):
        return "sqlite3"
    program = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]), sep=chr(10))"
    return f"{shlex.quote(sys.executable)} -c '{program}'"


def interrupt(*_: object) -> NoReturn:
    """End the demo as Ctrl-C does."""
    raise KeyboardInterrupt


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Watch events go from request handlers to a store.")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long requests are sent (default: 8)")
    parser.add_argument("--shops", type=int, default=3, help="processes of the web application (default: 3)")
    parser.add_argument("--clients", type=int, default=4, help="processes that send requests (default: 4)")
    parser.add_argument("--folder", type=Path, help="a new folder for what it writes (default: demo-run)")
    parser.add_argument("--keep", action="store_true", help="keep the page open at the end, until Ctrl-C")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
