"""`eventpub store find`: print stored events."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from eventpub.cli.arguments import add_command, parse_as
from eventpub.cli.exit_codes import EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import complain, say
from eventpub.collector.events.naming import name_unknown
from eventpub.collector.reading.reader import COLUMNS, Condition
from eventpub.serialization.errors import StructClassError
from eventpub.serialization.struct_class import load_struct_class
from eventpub.serialization.thrift_plain import UNKNOWN_FIELDS
from eventpub.settings import ini

if TYPE_CHECKING:
    from eventpub.cli.arguments import Commands
    from eventpub.collector.reading.reader import Reader

_ORIGIN = 4  # columns that are not of the event itself
_EPILOG = """\
examples:
  eventpub store find --uuid 3f0c0a2e-8f7e-4b57-9d8e-2f3a0c1d4e5f collector.ini
  eventpub store find --user t2_1 --limit 20 events.sqlite
  eventpub store find --where noun=tea --where user.plan=team --since 1h postgresql://db/events
  eventpub store find --batch 00112233445566778899aabbccddeeff events.sqlite | jq .event

Prints a line of JSON for each event: when it was received, by which key and in which batch, and the event as it
is stored.

exit codes: 0 found   1 none found   2 the store cannot be read
            64 wrong arguments   78 wrong configuration
"""


def add_action(actions: Commands) -> argparse.ArgumentParser:
    """Declare the action."""
    action = add_command(actions, "find", help="print stored events, the newest first", epilog=_EPILOG)
    for option, text in (
        ("uuid", "the event with this uuid"),
        ("user", "the events of this user"),
        ("batch", "the events of this batch"),
    ):
        action.add_argument(f"--{option}", metavar=option.upper(), help=text)
    action.add_argument(
        "--where",
        action="append",
        default=[],
        type=parse_condition,
        metavar="FIELD=VALUE",
        help="a column, or a path into the event; all that are given must hold",
    )
    add_since(action)
    add_schema(action)
    action.add_argument(
        "--limit",
        type=parse_as(ini.integer(1, 10**9)),
        default=100,
        help="print so many at most (default: 100)",
    )
    return action


def run_action(options: argparse.Namespace, reader: Reader) -> int:
    """Print what is found, and return the exit code."""
    conditions = [
        *(
            Condition(name, value)
            for name in ("uuid", "user", "batch")
            if (value := getattr(options, name)) is not None
        ),
        *options.where,
    ]
    found = 0
    for row in reader.find(conditions, since=begin_of(options), newest_first=True):
        if found == options.limit:
            complain(f"there are more than {options.limit:,}; give --limit to see them")
            break
        say(format_row(row, options.schema))
        found += 1
    return EXIT_OK if found else EXIT_WARNING


def add_since(action: argparse.ArgumentParser) -> None:
    """Add `--since`."""
    action.add_argument(
        "--since",
        type=parse_as(ini.seconds(0, 3650 * 86_400)),
        metavar="AGE",
        help="only those received in the last 30 s, 5 min, 2 h, 7 d",
    )


def add_schema(action: argparse.ArgumentParser) -> None:
    """Add `--schema`."""
    action.add_argument(
        "--schema",
        type=_parse_schema,
        metavar="MODULE:CLASS",
        help="name the fields that the collector did not know by this newer struct class",
    )


def _parse_schema(text: str) -> type:
    try:
        return load_struct_class(text)
    except StructClassError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def begin_of(options: argparse.Namespace) -> float:
    """Return since when events are asked for, in seconds since 1970."""
    return 0.0 if options.since is None else time.time() - options.since


def parse_condition(text: str) -> Condition:
    """Take FIELD=VALUE."""
    field, separator, value = text.partition("=")
    if not separator or not field.strip() or '"' in field:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE, such as noun=tea or user.plan=team")
    return Condition(field.strip(), value)


def format_row(row: tuple[Any, ...], schema: type | None = None) -> str:
    """Return an event with its origin as one line of JSON; without a schema the event is as it is stored."""
    origin = dict(zip(COLUMNS[:_ORIGIN], row, strict=False))
    return f'{json.dumps(origin)[:-1]}, "event": {name_text(row[-1], schema)}}}'


def name_text(text: str, schema: type | None) -> str:
    """Return the text of an event with names for fields that its collector did not know."""
    if schema is None or UNKNOWN_FIELDS not in text:
        return text
    return json.dumps(name_unknown(schema, json.loads(text)), ensure_ascii=False)
