"""Which sidecars a command means that looks at several: by CONFIG.ini, by spool, or all of this host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_config_file
from eventpub.cli.errors import UsageError
from eventpub.sidecar.config import load_config
from eventpub.sidecar.host import SYSTEM_SPOOL_DIR, default_spool_dir
from eventpub.sidecar.queue_choice import choose_queues
from eventpub.sidecar.status.ask import find_running, find_slots, find_spools

if TYPE_CHECKING:
    import argparse


def add_spools(parser: argparse.ArgumentParser) -> None:
    """Declare CONFIG.ini and `--spool`; without them all sidecars that run on this host are meant."""
    add_config_file(parser)
    parser.add_argument("--spool", type=Path, metavar="DIR", help="the spool's folder, instead of CONFIG.ini")


def list_spools(options: argparse.Namespace, queue_name: str | None) -> list[Path]:
    """Return the spools that a command line means.

    Raises:
        UsageError: it names two.
        ConfigError: the configuration cannot be used.
    """
    if options.config_file is not None and options.spool is not None:
        raise UsageError("give either CONFIG.ini or --spool DIR, not both")
    if options.spool is not None:
        return [options.spool]
    if options.config_file is not None:
        names = choose_queues(options.config_file, queue_name)
        configs = [load_config(options.config_file, name) for name in names]
        return sorted({config.spool_dir or default_spool_dir() for config in configs})
    return sorted({*find_spools(), SYSTEM_SPOOL_DIR, default_spool_dir()})


def list_slots(options: argparse.Namespace, queue_name: str | None) -> list[Path]:
    """Return the folders of their slots, by spool, queue and number.

    Args:
        options: with the arguments of `add_spools`.
        queue_name: of one queue only.

    Raises:
        PermissionError: there are none but those of other users. Spools that nobody named, and in which no
            sidecar of the queue runs, are not meant.
    """
    slots: list[Path] = []
    denied: dict[Path, PermissionError] = {}
    for spool in list_spools(options, queue_name):
        try:
            slots += find_slots(spool, queue_name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            denied[spool] = error
    if denied and not slots:
        running = [slot.parent.parent for slot in find_running() if queue_name in (None, slot.parent.name)]
        is_named = queue_name is None or options.spool is not None or options.config_file is not None
        why = next(iter(denied.values())) if is_named else None  # others' spools say nothing of this queue
        if why := next((denied[spool] for spool in running if spool in denied), why):
            raise why
    return slots
