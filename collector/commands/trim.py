"""`eventpub store trim`: remove old events, in small steps beside the traffic."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_command, add_json, parse_as
from eventpub.cli.exit_codes import EXIT_OK
from eventpub.cli.terminal import say_facts, show_progress
from eventpub.settings import ini

if TYPE_CHECKING:
    import argparse

    from eventpub.cli.arguments import Commands
    from eventpub.collector.reading.reader import Reader

_PAUSE_SECONDS = 0.02  # in which a batch finds the store free
_EPILOG = """\
examples:
  eventpub store trim --older-than 90d collector.ini

Collectors go on storing meanwhile. To have it done for good, set `store.keep = 90 d` in the collector's file.

exit codes: 0 removed   2 the store cannot be read   64 wrong arguments
            78 wrong configuration
"""


def add_action(actions: Commands) -> argparse.ArgumentParser:
    """Declare the action."""
    action = add_command(actions, "trim", help="remove old events", epilog=_EPILOG)
    action.add_argument(
        "--older-than",
        required=True,
        type=parse_as(ini.seconds(60, 36_500 * 86_400)),
        metavar="AGE",
        help="remove what was received longer ago: 12 h, 90 d",
    )
    add_json(action)
    return action


def run_action(options: argparse.Namespace, reader: Reader) -> int:
    """Remove old events, and return the exit code."""
    before, removed = time.time() - options.older_than, 0
    while step := reader.trim(before):
        removed += step
        show_progress(f"removed {removed:,} events")
        time.sleep(_PAUSE_SECONDS)
    show_progress("")
    say_facts(f"removed {removed:,} events", {"removed": removed}, as_json=options.json)
    return EXIT_OK
