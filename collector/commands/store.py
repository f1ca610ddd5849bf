"""`eventpub store`: look into what a collector has stored, beside it while it runs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventpub.cli.arguments import add_command
from eventpub.cli.exit_codes import EXIT_FAILING, EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import complain, say
from eventpub.collector.store import lookup

if TYPE_CHECKING:
    import argparse

    from eventpub.cli.arguments import Commands

_EPILOG = """
examples:
  eventpub store find --uuid 3f0c0a2e-8f7e-4b57-9d8e-2f3a0c1d4e5f events.sqlite
  eventpub store find --user t2_1 --limit 20 events.sqlite
  eventpub store find --batch 00112233445566778899aabbccddeeff events.sqlite | jq .event

Prints a line of JSON for each event: when it was received, by which key and in which batch, and the event as it
is stored. The exit code is 1 if there is none.
"""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "store", help="find events that a collector has stored", epilog="")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    find = add_command(actions, "find", help="print stored events, the latest batch first", epilog=_EPILOG)
    what = find.add_mutually_exclusive_group(required=True)
    for option, column, text in (
        ("--uuid", "uuid", "the event with this uuid"),
        ("--user", "user_id", "the events of this user"),
        ("--batch", "batch_id", "the events of this batch"),
    ):
        what.add_argument(option, metavar=option[2:].upper(), dest=column, help=text)
    find.add_argument("--limit", type=int, default=100, help="print so many at most (default: 100)")
    find.add_argument("path", type=Path, metavar="STORE", help="the collector's store.path")
    find.set_defaults(run=run_find)


def run_find(options: argparse.Namespace) -> int:
    """Print what is found, and return the exit code."""
    column, value = next(
        (name, given) for name in lookup.COLUMNS if (given := getattr(options, name)) is not None
    )
    found = 0
    try:
        with contextlib.closing(_open_to_read(options.path)) as connection:
            for row in lookup.find_events(connection, column, value):
                if found == options.limit:
                    complain(f"there are more than {options.limit}; give --limit to see them")
                    break
                say(_format_row(row))
                found += 1
    except sqlite3.Error as error:
        complain(f"{options.path}: cannot be read: {error}; give the file that store.path names")
        return EXIT_FAILING
    return EXIT_OK if found else EXIT_WARNING


def _open_to_read(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def _format_row(row: sqlite3.Row) -> str:
    origin: dict[str, Any] = {
        name: row[name] for name in ("id", "received_at", "key_name", "batch_id", "version")
    }
    return f'{json.dumps(origin)[:-1]}, "event": {row["event"]}}}'
