"""The command line of the collector: what it takes, and what its help says."""

from __future__ import annotations

import argparse
from pathlib import Path

from eventpub import __version__
from eventpub.cli.arguments import CommandParser, add_version, parse_as
from eventpub.cli.help_format import FoldedHelp
from eventpub.settings import ini

_EXAMPLES = """\
examples:
  %(prog)s collector.ini
  %(prog)s --check-config collector.ini
  %(prog)s --ready-file /run/collector.url collector.ini
  %(prog)s --workers 4 collector.ini

  # refuse three requests, then serve; for tests of senders
  echo '[{"status": 503, "times": 3}]' > faults.json
  %(prog)s --faults faults.json collector.ini

exit codes:
  0 stopped by a signal   64 wrong arguments   69 cannot listen
  71 it or its store hung for watchdog.timeout: start it again
  74 the output of --check-config cannot be written
  75 stopped with requests in flight
  78 wrong configuration, or the store cannot be opened; while a store is locked
     or full, or a file of tls.* does not exist yet, the collector waits

signals:
  TERM, INT  answer the requests in flight, then stop; a second one: at once
  HUP        read [keys], log.* and the files of tls.* again; all else takes a restart
"""


def build_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of the command line of a program that is called `name`."""
    parser = CommandParser(
        prog=name,
        description="Take signed batches of events over HTTP and store every event once.",
        epilog=_EXAMPLES,
        formatter_class=FoldedHelp,
    )
    parser.add_argument(
        "config", type=Path, metavar="CONFIG.ini", help="INI file; deploy/collector.ini has every key"
    )
    parser.add_argument("--check-config", action="store_true", help="check the file and exit")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="log more, such as why requests are refused, whatever log.level says",
    )
    parser.add_argument(
        "--faults", type=Path, metavar="SCRIPT", help="a JSON file of deliberate faults (for tests of senders)"
    )
    parser.add_argument(
        "--ready-file", type=Path, metavar="PATH", help="write the URL to this file once it is served"
    )
    parser.add_argument(
        "--workers",
        type=parse_as(ini.integer(1, 256)),
        default=1,
        metavar="N",
        help="serve with N processes, restarted when they end (default: 1)",
    )
    parser.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)  # what a worker inherits
    parser.add_argument(
        "--counts-file", type=Path, help=argparse.SUPPRESS
    )  # where a worker tells what it counts
    parser.add_argument("--watcher", type=int, help=argparse.SUPPRESS)  # the process that started the worker
    add_version(parser, lambda: f"eventpub {__version__}")
    return parser
