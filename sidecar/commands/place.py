"""Which spool a command works on.

It is named like the sidecar's own, `--queue-name NAME CONFIG.ini`, or by its folder, `--spool DIR`, for those
who do not have the configuration; the latter means all queues in it unless one is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_config_file, add_queue_name
from eventpub.cli.errors import UsageError
from eventpub.sidecar.config import SidecarConfig, load_config
from eventpub.sidecar.host import default_spool_dir
from eventpub.sidecar.queue_choice import choose_queue
from eventpub.sidecar.spool.errors import SpoolError

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True, slots=True)
class Place:
    """An existing spool.

    Attributes:
        directory: `spool.dir`.
        queues: the folders of the queues that are meant, at least one.
        config: the sidecar's settings; None where the spool was named by its folder.
        words: the arguments that lead here, for commands that a message recommends.
    """

    directory: Path
    queues: tuple[Path, ...]
    config: SidecarConfig | None
    words: str


def add_place(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that name a spool."""
    add_config_file(parser)
    add_queue_name(parser, "the file's only one, or main; with --spool, all")
    parser.add_argument("--spool", type=Path, metavar="DIR", help="the spool's folder, instead of CONFIG.ini")


def locate_spool(options: argparse.Namespace) -> Place:
    """Return the spool that a command line names.

    Raises:
        UsageError: it names none, or two.
        ConfigError: the configuration cannot be used.
        SpoolError: there is no such spool or queue, or this user may not look.
    """
    _put_file_first(options)
    if options.spool is not None:
        _take_back_id(options)
        name, directory = options.queue_name, options.spool
        words = f"--queue-name {name} --spool {directory}" if name else f"--spool {directory}"
        return Place(directory, _find_queues(directory, name), None, words)
    if options.config_file is None:
        raise UsageError("name the sidecar's CONFIG.ini, or the spool itself with --spool DIR")
    name = choose_queue(options.config_file, options.queue_name)
    config = load_config(options.config_file, name)
    directory = config.spool_dir or default_spool_dir()
    words = f"--queue-name {name} {options.config_file}"
    return Place(directory, _find_queues(directory, name), config, words)


def _put_file_first(options: argparse.Namespace) -> None:
    """Let ids stand before CONFIG.ini, too: no id looks like a file."""
    words = [options.config_file, *getattr(options, "ids", [])]
    files = [word for word in words if word is not None and (word.endswith(".ini") or "/" in word)]
    if len(files) == 1 and files[0] != options.config_file:
        options.config_file = files[0]
        options.ids = [word for word in words if word is not files[0]]


def _take_back_id(options: argparse.Namespace) -> None:
    """Take the word in the place of CONFIG.ini for the first of the ids, as a folder is named instead."""
    if options.config_file is None:
        return
    if "ids" not in options:
        raise UsageError("give either CONFIG.ini or --spool DIR, not both")
    options.ids.insert(0, options.config_file)
    options.config_file = None


def _find_queues(directory: Path, name: str | None) -> tuple[Path, ...]:
    """Return the folders of the queue of that name, or of all, in a spool."""
    try:
        there = sorted(path for path in directory.iterdir() if path.is_dir())
    except FileNotFoundError:
        reason = "does not exist; its sidecar creates it. A sidecar of another user may have its own spool"
        raise SpoolError(str(directory), reason) from None
    except NotADirectoryError:
        raise SpoolError(str(directory), "is not a folder; name the one in spool.dir") from None
    queues = tuple(path for path in there if name in (None, path.name))
    if not queues:
        names = ", ".join(path.name for path in there) or "none"
        wanted = f"queue {name}" if name else "queue"
        raise SpoolError(str(directory), f"has no {wanted} (queues: {names}); see --queue-name")
    return queues
