"""`eventpub dev`: its arguments, what it says, and the two programs it looks after."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_command, parse_as, queue_name
from eventpub.cli.exit_codes import EXIT_OK
from eventpub.cli.terminal import complain, say, say_styled
from eventpub.errors import QueueError, QueueMissingError
from eventpub.queue.message_queue import MessageQueue, remove_queue
from eventpub.settings import ini

from .claim import claim_folder, claim_queue
from .errors import ProgramError
from .files import PAGE_PORT, PORT, choose_port, make_secret, write_collector, write_sidecar
from .leftovers import clear_leftovers, make_folder
from .program import Program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from eventpub.cli.arguments import Commands

    from .leftovers import Folder

_LOOK_SECONDS = 0.2
_EPILOG = """\
examples:
  eventpub dev                                  queue v2, for Thrift structs
  eventpub dev --queue-name v2j                 queue v2j, for dicts
  eventpub dev --queue-name shop --version 2j   queue shop, for dicts
  eventpub dev --schema shop.ttypes:ShopEvent   structs of your own
  eventpub dev --keep dev-state                 store, spool and logs stay there

Ctrl-C ends both programs and removes the queue if it was made here. The page shows each event as the collector
takes or refuses it; tests ask http://127.0.0.1:PORT/micro/good?noun=tea&wait=5s (see docs/testing.md).

exit codes: 0 stopped   2 a program did not start or ended, or queue or folder are in use   64 wrong arguments
"""
_EXAMPLES = {
    "2": """\
from eventpub import EventQueue
from eventpub.schemas.event.ttypes import Event
EventQueue("{queue}").put(Event(source="shop", action="buy", noun="tea"))""",
    "2j": """\
from eventpub import EventQueue
events = EventQueue("{queue}")
events.put({{"source": "shop", "action": "buy", "noun": "tea"}})""",
}


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "dev", help="run a collector with its page and a sidecar, for development", epilog=_EPILOG
    )
    parser.add_argument(
        "--queue-name", type=queue_name, default="v2", metavar="NAME", help="the queue (default: v2)"
    )
    parser.add_argument(
        "--version",
        choices=("2", "2j"),
        help="its events: 2 Thrift structs, 2j JSON objects (default: 2j if NAME ends with 2j, else 2)",
    )
    parser.add_argument(
        "--schema",
        metavar="CLASS",
        help="package.module:Class, what structs are, or any (default: eventpub's own event)",
    )
    port = parse_as(ini.integer(0, 65_535))
    parser.add_argument(
        "--port", type=port, default=PORT, metavar="N", help=f"the collector's (default: {PORT})"
    )
    parser.add_argument(
        "--page-port", type=port, default=PAGE_PORT, metavar="N", help=f"the page's (default: {PAGE_PORT})"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep store, spool and logs there (default: keep nothing)",
    )
    parser.add_argument("--verbose", action="store_true", help="show all that both log, not only warnings")
    parser.set_defaults(run=run_dev)


def run_dev(options: argparse.Namespace) -> int:
    """Run both programs until a signal comes, or one of them ends."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # who reads through a pipe waits for the addresses
    stop = _watch_signals()
    _exists(options.queue_name)  # a system without queues says so before anything is made
    os.umask(0o077)  # events are nobody else's, in whatever folder they are kept
    with contextlib.ExitStack() as at_the_end:
        if options.keep is not None:
            at_the_end.enter_context(claim_folder(options.keep.resolve()))
        folder = at_the_end.enter_context(make_folder())
        at_the_end.enter_context(claim_queue(options.queue_name))
        programs = at_the_end.enter_context(_run_programs(options, folder, stop))
        while not stop.wait(_LOOK_SECONDS):
            for program in programs:
                program.check()
                for line in program.read_news(is_verbose=options.verbose):
                    say(f"{program.name}: {line}")
        if programs:
            say("\nStopping")
    return EXIT_OK


@contextlib.contextmanager
def _run_programs(
    options: argparse.Namespace, own: Folder, stop: threading.Event
) -> Iterator[Sequence[Program]]:
    """Start both programs, say how to use them, end them with the block; start none if `stop` comes first."""
    queue = options.queue_name
    folder = options.keep.resolve() if options.keep is not None else own.path
    version = options.version or ("2j" if queue.endswith("2j") else "2")
    secret = make_secret()
    with contextlib.ExitStack() as at_the_end:
        is_new = _take_over(queue, own)

        def start(name: str, *arguments: str) -> Program:
            program = Program(name, ["-m", f"eventpub.{name}", *arguments], folder / f"{name}.log", own.lock_fd)
            at_the_end.callback(program.stop)
            return program

        ports = _choose_ports(options)
        while True:
            config = write_collector(folder, secret, ports=ports, schema=options.schema)
            collector = start("collector", str(config))
            try:
                address = collector.wait_for(r"^listening on http://(\S+)$", stop.is_set)
                page = collector.wait_for(r"^page on (\S+)$", stop.is_set)
                break
            except ProgramError:
                before, ports = ports, _choose_ports(options)
                if ports == before:  # else another process was quicker to take one
                    raise
        if not address or not page:
            yield ()
            return
        config = write_sidecar(folder, secret, queue, version, address[1])
        if is_new:
            at_the_end.callback(_remove, queue)  # once the sidecar, which makes it, has stopped
        sidecar = start("sidecar", "--queue-name", queue, str(config))
        size = sidecar.wait_for(r" started queue=.* max_messages=(\d+) max_message_bytes=(\d+) ", stop.is_set)
        if size:
            _tell_taken((options.port, options.page_port), ports)
            _explain(
                options, queue, version, page=page[1], collector=address[1], size=(int(size[1]), int(size[2]))
            )
            yield collector, sidecar
        else:
            yield ()


def _take_over(queue: str, own: Folder) -> bool:
    """Return whether the queue is to go at the end: it is made here, or was by a command that was killed."""
    is_new = clear_leftovers(queue) or not _exists(queue)
    if is_new:
        own.note_queue(queue)
    return is_new


def _choose_ports(options: argparse.Namespace) -> tuple[int, int]:
    return choose_port(options.port), choose_port(options.page_port)


def _tell_taken(wanted: tuple[int, int], chosen: tuple[int, int]) -> None:
    for port, other in zip(wanted, chosen, strict=True):
        if port != other:
            say(f"Port {port} is taken; a free one is used instead.")


def _explain(
    options: argparse.Namespace, queue: str, version: str, *, page: str, collector: str, size: tuple[int, int]
) -> None:
    say("")
    say_styled("Page       ", "bold", page)
    say_styled("Queue      ", "bold", f"{queue}, for up to {size[0]:,} waiting events of {size[1]:,} bytes")
    say_styled("Collector  ", "bold", f"http://{collector}/v{version}")
    if options.keep is not None:
        say_styled("Folder     ", "bold", str(options.keep))
    say("\nPut an event, from Python:\n")
    for line in _EXAMPLES[version].format(queue=queue).splitlines():
        say(f"    {line}")
    by_name = "--event " if version == "2" else ""
    say("\nor from a shell:\n")
    say(f"""    eventpub put {by_name}{queue} '{{"source": "shop", "action": "buy", "noun": "tea"}}'""")
    say("\nCtrl-C ends everything.")


def _watch_signals() -> threading.Event:
    """Return an event that the signals to stop set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _exists(queue: str) -> bool:
    try:
        MessageQueue.open(queue, create=False).close()
    except QueueMissingError:
        return False
    return True


def _remove(queue: str) -> None:
    try:
        remove_queue(queue)
    except QueueMissingError:
        pass
    except QueueError as error:
        complain(str(error))
