"""`eventpub top`: the status of all sidecars of this host, live on a terminal, or once for a pipe."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_command, add_json, parse_as, queue_name
from eventpub.cli.errors import UsageError
from eventpub.cli.exit_codes import EXIT_OK, EXIT_UNAVAILABLE
from eventpub.cli.terminal import complain, print_table, say
from eventpub.cli.wording import format_json
from eventpub.errors import suggest_install
from eventpub.settings import ini

from .guard import guard_command
from .judgement import WORDS
from .sampling import Sampler, sample_twice, summarize_rows
from .spools import add_spools, list_slots, list_spools
from .top_columns import COLUMNS, choose_rows

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from eventpub.cli.arguments import Commands

    from .sampling import SidecarRow

_EPILOG = """\
examples:
  eventpub top                              all sidecars of this host, as far as this user may ask them
  eventpub top --queue-name v2 example.ini  those of one queue
  eventpub top --once                       one table, for a pipe or a mail
  eventpub top --once --json                the same as JSON, with the whole status of each sidecar

keys: Enter or o opens a sidecar, Escape goes back, s sorts by the next column (r the other way round),
      / filters, p pauses, q ends

The screen needs an extra: pip install 'eventpub-sidecar[top]'; --once does not. OUT/s is what the collector
accepts; SPOOL is how many events wait on disk, and how full the spool is.

exit codes: 0 shown   64 wrong arguments   69 no sidecar runs here, or no terminal or extra
            73 no access   78 wrong configuration
"""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "top", help="watch what the sidecars of this host do", epilog=_EPILOG)
    add_spools(parser)
    parser.add_argument("--queue-name", type=queue_name, metavar="NAME", help="the sidecars of one queue only")
    parser.add_argument(
        "--interval",
        type=parse_as(ini.seconds(0.2, 3600)),
        default=1.0,
        metavar="D",
        help="how often to ask them: 500ms, 5s (default: 1s)",
    )
    parser.add_argument("--once", action="store_true", help="print what they do in one interval, and end")
    add_json(parser, "with --once: print one JSON document")
    parser.set_defaults(run=guard_command(run_top))


def run_top(options: argparse.Namespace) -> int:
    """Show the sidecars until q is pressed, or once."""
    if options.json and not options.once:
        raise UsageError("--json goes with --once")
    list_spools(options, options.queue_name)  # says what is wrong with the arguments
    sampler = Sampler(lambda: list_slots(options, options.queue_name))
    if options.once:
        return _print_once(sampler, options)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        complain("top draws a screen, which needs a terminal; for a pipe there is eventpub top --once")
        return EXIT_UNAVAILABLE
    try:
        from .top_screen import TopApp  # noqa: PLC0415, textual takes 0.3 s to import, and is an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        complain(f"top draws its screen with textual: {suggest_install('top')}; or use eventpub top --once")
        return EXIT_UNAVAILABLE
    TopApp(sampler, options.interval).run()
    return EXIT_OK


def _print_once(sampler: Sampler, options: argparse.Namespace) -> int:
    rows = choose_rows(sample_twice(sampler, options.interval))
    word, why = summarize_rows(rows)
    if options.json:
        say(format_json({"verdict": word, "why": why, "sidecars": [_to_json(row) for row in rows]}))
    else:
        say(f"{word}: {why}")
        if rows:
            _print_rows(rows)
    return EXIT_OK if rows else EXIT_UNAVAILABLE


def _print_rows(rows: Sequence[SidecarRow]) -> None:
    columns = [column for column in COLUMNS if column.title != "OUT"]  # one interval draws no line
    print_table(
        [column.title for column in columns], ([column.write(row) for column in columns] for row in rows)
    )
    for finding in (finding for row in rows for finding in row.findings):
        say(finding.text)
        if finding.remedy:
            say(f"  -> {finding.remedy}")


def _to_json(row: SidecarRow) -> dict[str, object]:
    return {
        "queue": row.queue,
        "slot": row.number,
        "directory": str(row.slot),
        "state": row.state,
        "trouble": row.trouble,
        "findings": [
            {"level": WORDS[finding.level], "text": finding.text, "remedy": finding.remedy or None}
            for finding in row.findings
        ],
        "received_per_second": row.received_rate,
        "delivered_per_second": row.delivered_rate,
        "status": json.loads(row.record.to_json()) if row.record else None,
    }
