"""Where a command finds its spool, and what it says if it cannot use it.

A spool is named like the sidecar's own, `--queue-name NAME CONFIG.ini`, or by its folder, `--spool DIR`; the
latter means all queues in it unless one is named.
"""

from __future__ import annotations

import functools
import json
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.arguments import queue_name
from eventpub.cli.exit_codes import EXIT_CONFIG, EXIT_FAILING, EXIT_NO_SPOOL, EXIT_USAGE
from eventpub.cli.terminal import complain
from eventpub.errors import ConfigError
from eventpub.settings import ini
from eventpub.sidecar.config import SECTION_PREFIX, SidecarConfig, default_spool_dir, load_config
from eventpub.sidecar.spool.errors import SpoolError

from .errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

DEFAULT_QUEUE = "main"  # the sidecar's


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
    parser.add_argument(
        "config_file", metavar="CONFIG.ini", nargs="?", help="configuration of the spool's sidecar"
    )
    parser.add_argument(
        "--queue-name",
        type=queue_name,
        metavar="NAME",
        help=f"queue and section (default: the file's only one, or {DEFAULT_QUEUE}; with --spool, all)",
    )
    parser.add_argument("--spool", type=Path, metavar="DIR", help="the spool's folder, instead of CONFIG.ini")


def locate_spool(options: argparse.Namespace) -> Place:
    """Return the spool that a command line names.

    Where it names a folder, the word in the place of CONFIG.ini is the first of the `ids`.

    Raises:
        UsageError: it names none, or two.
        ConfigError: the configuration cannot be used.
        SpoolError: there is no such spool or queue, or this user may not look.
    """
    file, name = options.config_file, options.queue_name
    if options.spool is not None:
        if file is not None:
            if "ids" not in options:
                raise UsageError("give either CONFIG.ini or --spool DIR, not both")
            options.ids.insert(0, file)
        config, directory = None, options.spool
        words = f"--queue-name {name} --spool {directory}" if name else f"--spool {directory}"
    elif file is not None:
        name = name or _only_queue(file)
        config = load_config(file, name)
        directory = config.spool_dir or default_spool_dir()
        words = f"--queue-name {name} {file}"
    else:
        raise UsageError("name the sidecar's CONFIG.ini, or the spool itself with --spool DIR")
    try:
        there = tuple(sorted(path for path in directory.iterdir() if path.is_dir()))
    except FileNotFoundError:
        raise SpoolError(
            str(directory),
            "does not exist; its sidecar creates it. A sidecar of another user may have its own spool",
        ) from None
    except NotADirectoryError:
        raise SpoolError(str(directory), "is not a folder; name the one in spool.dir") from None
    queues = tuple(path for path in there if name in (None, path.name))
    if not queues:
        names = ", ".join(path.name for path in there) or "none"
        wanted = f"queue {name}" if name else "queue"
        raise SpoolError(str(directory), f"has no {wanted} (queues: {names}); see --queue-name")
    return Place(directory, queues, config, words)


def _only_queue(file: str) -> str:
    """Return the queue of a file's only sidecar, or the default one among several."""
    names = [
        section.removeprefix(SECTION_PREFIX)
        for section in ini.load_file(file).sections()
        if section.startswith(SECTION_PREFIX)
    ]
    if len(names) > 1 and DEFAULT_QUEUE not in names:
        raise UsageError(f"{file} has several sidecars ({', '.join(names)}); choose one with --queue-name NAME")
    return names[0] if len(names) == 1 else DEFAULT_QUEUE


def guard_command(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Have a command say what kept it from its work, and return the code for that."""

    @functools.wraps(run)
    def guard(options: argparse.Namespace) -> int:
        try:
            return run(options)
        except BrokenPipeError:
            raise
        except UsageError as error:
            complain(f"{error} (see --help)")
            return EXIT_USAGE
        except ConfigError as error:
            complain(f"{error}; to use a spool without its configuration, name it with --spool DIR")
            return EXIT_CONFIG
        except SpoolError as error:
            complain(str(error))
            return EXIT_NO_SPOOL
        except PermissionError as error:
            complain(explain_denied(error))
            return EXIT_NO_SPOOL
        except OSError as error:
            complain(f"{error.filename or 'the disk'}: {error.strerror}")
            return EXIT_FAILING

    return guard


def explain_denied(error: PermissionError) -> str:
    """Return who owns a file that this user may not use, and how to become its owner."""
    path = Path(error.filename or ".")
    for nearest in (path, *path.parents):
        try:
            uid = nearest.stat().st_uid
        except OSError:
            continue
        try:
            owner = pwd.getpwuid(uid).pw_name
        except KeyError:
            owner = f"#{uid}"
        return f"{path}: this user may not use it; run the command as its owner: sudo -u '{owner}' eventpub …"
    return f"{path}: this user may not use it"


def count_noun(number: int, noun: str, plural: str = "") -> str:
    """Return `1 event`, or `2,000 events`; the plural is the noun with an s by default."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_json(document: object, *, indent: int | None = 2) -> str:
    """Return a document as JSON without characters that control a terminal."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return text if text.replace("\n", "").isprintable() else json.dumps(document, indent=indent)
