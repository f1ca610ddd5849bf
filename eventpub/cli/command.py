"""Run one command: find it, parse its arguments, turn what goes wrong into an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import eventpub
from eventpub.errors import ConfigError, EventPubError, QueueError
from eventpub.printable import configure_logging

from . import doctor, put, queue
from .arguments import CommandParser
from .errors import UsageError
from .exit_codes import (
    EXIT_CONFIG,
    EXIT_FAILING,
    EXIT_INTERRUPTED,
    EXIT_IO,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
)
from .terminal import complain, say

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\
examples:
  eventpub sidecar --queue-name v2 example.ini  deliver the events of the queue "v2"
  eventpub collector collector.ini              take events over HTTP and store them
  eventpub doctor                               find out what keeps events from being put, and how to fix it
  eventpub queue list                           list the queues of this machine
  eventpub put test '{"example": "value"}'      put an event on the queue "test"
  eventpub spool status example.ini             show what a sidecar keeps on disk
  eventpub dead-letters list example.ini        list the events that the collector refused, and why

exit codes:
  0 done   1 partly done, or doctor warns   2 failed, see the message   64 wrong arguments
  69 no queue, or no access   73 no spool, or no access   74 output failed
  78 wrong configuration   130 interrupted

`python -m eventpub.sidecar` is the same as `eventpub sidecar`; `python -m eventpub.collector` likewise.
"""

_EXITS = ((UsageError, EXIT_USAGE), (QueueError, EXIT_UNAVAILABLE), (ConfigError, EXIT_CONFIG))


def run_command(words: Sequence[str]) -> int:
    """Run the command that `words` ask for, without the program's name; return its exit code."""
    configure_logging(logging.WARNING, "eventpub: %(message)s")
    if not sys.stdout:  # closed by the process that started this one
        complain("standard output is closed; to discard the output, redirect it to /dev/null")
        return EXIT_IO
    try:
        options = build_parser(words).parse_args(words)
        code: int = options.run(options)
        sys.stdout.flush()
    except EventPubError as error:
        complain(f"{error} (see --help)" if isinstance(error, UsageError) else str(error))
        return next((code for kind, code in _EXITS if isinstance(error, kind)), EXIT_FAILING)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output stopped reading
        _drop_output()
        return EXIT_OK
    except OSError as error:
        complain(f"{error.filename or 'standard output'}: {error.strerror}")
        _drop_output()
        return EXIT_IO
    return code


def _drop_output() -> None:
    """Discard what is still buffered, or the interpreter tries to write it again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ShowVersion(argparse.Action):
    """Prints the version and what else there is to say of what is installed; looks for that only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from . import extensions  # noqa: PLC0415, see below

        facts = [f"{name}={fact}" for name, fact in extensions.read_facts().items()]
        say(" ".join(["eventpub", eventpub.__version__, *facts]))
        parser.exit(EXIT_OK)


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser for a command line; the first word that is not an option names the command."""
    parser: argparse.ArgumentParser = CommandParser(
        prog="eventpub",
        description="Run sidecars and collectors, inspect queues and spools, and put events.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version, and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (doctor, queue, put):
        command.add_parser(commands)
    wanted = next((word for word in words if not word.startswith("-")), "")
    if wanted not in commands.choices:  # our own commands do not pay for the look-up
        from . import extensions  # noqa: PLC0415, the look-up alone takes as long as the rest

        extensions.add_parsers(commands, wanted)
    return parser
