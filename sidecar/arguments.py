"""The arguments by which the sidecar and its commands name a sidecar: a configuration file and a queue.

`eventpub sidecar`, `spool`, `dead-letters`, `doctor`, `status` and the others spell them alike:
`[--queue-name NAME] CONFIG.ini`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.cli.arguments import queue_name
from eventpub.cli.errors import UsageError
from eventpub.settings import ini

from .config import SECTION_PREFIX

if TYPE_CHECKING:
    import argparse
    import os

DEFAULT_QUEUE = "main"  # baseplate's


def add_config_file(parser: argparse.ArgumentParser, *, is_needed: bool = False) -> None:
    """Declare the configuration file."""
    text = "INI file with a section [event-publisher:NAME]"
    parser.add_argument("config_file", metavar="CONFIG.ini", nargs=None if is_needed else "?", help=text)


def add_queue_name(parser: argparse.ArgumentParser, rest: str = "") -> None:
    """Declare the queue; `rest` says what else is the case without it."""
    default = f"default: the file's only one, or {DEFAULT_QUEUE}{rest}"
    parser.add_argument(
        "--queue-name",
        type=queue_name,
        metavar="NAME",
        help=f"queue, section and folder in the spool ({default})",
    )


def list_sidecars(file: str | os.PathLike[str]) -> list[str]:
    """Return the queues of the sidecars that a file configures.

    Raises:
        ConfigError: it cannot be read.
    """
    sections = ini.load_file(file).sections()
    return [name.removeprefix(SECTION_PREFIX) for name in sections if name.startswith(SECTION_PREFIX)]


def choose_queue(file: str | os.PathLike[str], name: str | None) -> str:
    """Return the queue that a command line means: the one it names, the file's only one, or the default.

    Raises:
        UsageError: the file has several, and none of them is the default.
        ConfigError: it cannot be read.
    """
    if name is not None:
        return name
    names = list_sidecars(file)
    if len(names) > 1 and DEFAULT_QUEUE not in names:
        raise UsageError(f"{file} has several sidecars ({', '.join(names)}); choose one with --queue-name NAME")
    return names[0] if len(names) == 1 else DEFAULT_QUEUE
