"""Run one command: find it, parse its arguments, turn what goes wrong into an exit code."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import eventpub
from eventpub.errors import ConfigError, EventPubError, QueueError
from eventpub.printable import configure_logging

from . import completion, doctor, put, queue
from .arguments import CommandParser, add_version
from .errors import OutputError, UsageError
from .exit_codes import (
    EXIT_CONFIG,
    EXIT_FAILING,
    EXIT_INTERRUPTED,
    EXIT_IO,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
)
from .help_format import FoldedHelp
from .terminal import complain, drop_output, flush_output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from .arguments import Commands

_EPILOG = """\
examples:
  eventpub status                           show this host, and what is wrong
  eventpub doctor example.ini               try all that a sidecar will need
  eventpub sidecar example.ini              deliver the events of a queue
  eventpub collector collector.ini          take events over HTTP and store them
  eventpub dev                              run both, with a page, for development
  eventpub put test '{"example": "value"}'  put an event on the queue "test"
  eventpub queue list                       list the queues of this machine
  eventpub spool status example.ini         show what a sidecar has on disk
  eventpub dead-letters list example.ini    list what the collector refused

exit codes: 0 done   1 partly done, a warning   2 failed, see the message
            64 wrong arguments   69 no queue, no access   73 no spool, no access
            74 output failed   78 wrong configuration   130 interrupted

`python -m eventpub.sidecar` is the same as `eventpub sidecar`, and
`python -m eventpub.collector` the same as `eventpub collector`.
"""

_EXITS = (
    (UsageError, EXIT_USAGE),
    (QueueError, EXIT_UNAVAILABLE),
    (ConfigError, EXIT_CONFIG),
    (OutputError, EXIT_IO),
)


def run_command(words: Sequence[str]) -> int:
    """Run the command that `words` ask for, without the program's name; return its exit code."""
    configure_logging(logging.WARNING, "eventpub: %(message)s")
    if not sys.stdout:  # closed by the process that started this one
        complain("standard output is closed; to discard the output, redirect it to /dev/null")
        return EXIT_IO
    try:
        options = build_parser(words).parse_args(words)
        code: int = options.run(options)
        flush_output()
    except EventPubError as error:
        complain(f"{error} (see --help)" if isinstance(error, UsageError) else str(error))
        return next((code for kind, code in _EXITS if isinstance(error, kind)), EXIT_FAILING)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output stopped reading
        drop_output()
        return EXIT_OK
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return EXIT_IO
    return code


def _describe_version() -> str:
    from . import extensions  # noqa: PLC0415, see below

    facts = [f"{name}={fact}" for name, fact in extensions.read_facts().items()]
    return " ".join(["eventpub", eventpub.__version__, *facts])


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser for a command line; the first word that is not an option names the command."""
    return _build_parsers(words)[0]


def _build_parsers(words: Sequence[str]) -> tuple[argparse.ArgumentParser, Commands]:
    parser: argparse.ArgumentParser = CommandParser(
        prog="eventpub",
        description="Run sidecars and collectors, inspect queues and spools, and put events.",
        epilog=_EPILOG,
        formatter_class=FoldedHelp,
    )
    add_version(parser, _describe_version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (doctor, queue, put):
        command.add_parser(commands)
    completion.add_parser(commands, build_whole_parser)
    wanted = next((word for word in words if not word.startswith("-")), "")
    if wanted not in commands.choices:  # our own commands do not pay for the look-up
        from . import extensions  # noqa: PLC0415, the look-up alone takes as long as the rest

        extensions.add_parsers(commands, wanted)
    return parser, commands


def build_whole_parser() -> argparse.ArgumentParser:
    """Return the parser with the arguments of all commands and programs, for what must know them all.

    Raises:
        ExtensionError: one of them cannot be loaded.
    """
    from . import extensions  # noqa: PLC0415, see above

    parser, commands = _build_parsers(["queue"])
    extensions.add_all_parsers(commands)
    return parser
