"""`eventpub store`: look into what a collector has stored, beside it while it runs."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_command
from eventpub.cli.exit_codes import EXIT_CONFIG, EXIT_FAILING
from eventpub.cli.terminal import complain
from eventpub.collector.config import load_config
from eventpub.collector.errors import StoreReadError
from eventpub.collector.reading.opening import open_reader
from eventpub.collector.store.address import StoreAddress, parse_store, store_address
from eventpub.errors import ConfigError

from . import export, find, trim

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.cli.arguments import Commands
    from eventpub.collector.reading.reader import Reader

_EPILOG = """\
examples:
  eventpub store find --user t2_1 --limit 20 events.sqlite
  eventpub store export --since 1d --out today.jsonl collector.ini
  eventpub store trim --older-than 90d collector.ini

All of them can be used while collectors run. `find` and `export` print JSON unless told otherwise.
"""
_STORE = "the collector's INI file, its SQLite file, or what `store` says in the INI file"


def add_parser(commands: Commands) -> None:
    """Declare the command and its actions."""
    parser = add_command(
        commands, "store", help="find, export and remove events that a collector has stored", epilog=_EPILOG
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for module in (find, export, trim):
        action = module.add_action(actions)
        action.add_argument("store", type=_parse_store, metavar="STORE", help=_STORE)
        action.set_defaults(run=_guard_action(module.run_action, write=module is trim))


def _parse_store(text: str) -> StoreAddress:
    if text.endswith(".ini"):
        return load_config(text).settings.store_address
    with contextlib.suppress(ValueError):
        return parse_store(text)
    if "://" in text or text.startswith("sqlite:"):  # not shown, for what is wrong may be a password in it
        raise argparse.ArgumentTypeError(f"expected {_STORE}: {store_address().allowed}")
    if not text:
        raise argparse.ArgumentTypeError(f"expected {_STORE}")
    return StoreAddress("sqlite", str(Path(text)))


def _guard_action(
    run: Callable[[argparse.Namespace, Reader], int], *, write: bool
) -> Callable[[argparse.Namespace], int]:
    """Open the store for an action, and say what keeps it from being read."""

    def run_guarded(options: argparse.Namespace) -> int:
        try:
            with contextlib.closing(open_reader(options.store, write=write)) as reader:
                return run(options, reader)
        except StoreReadError as error:
            complain(str(error))
            return EXIT_FAILING
        except ConfigError as error:
            complain(str(error))
            return EXIT_CONFIG

    return run_guarded
