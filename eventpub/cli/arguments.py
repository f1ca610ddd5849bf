"""Argument types and helpers that the parsers of all commands share."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from eventpub.errors import QueueNameError
from eventpub.queue.refusal import check_name

from .errors import OutputError
from .exit_codes import EXIT_IO, EXIT_OK, EXIT_USAGE
from .help_format import FoldedHelp
from .terminal import drop_output, flush_output, make_printable, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.settings.ini import Kind

T = TypeVar("T")

DEFAULT_QUEUE = "main"  # baseplate's

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001, it has no other name


class CommandParser(argparse.ArgumentParser):
    """A parser with its own exit code for a wrong command line; options may stand between arguments."""

    _is_between = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse a command line; a command without subcommands reports unknown arguments with its own usage."""
        if self._subparsers is not None or self._is_between:
            return super().parse_known_args(args, namespace)
        self._is_between = True  # the next line calls this method again, for options and then for arguments
        found, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def exit(self, status: int = EXIT_OK, message: str | None = None) -> NoReturn:
        """Exit after --help, --version or a complaint; what was printed has to be written for that."""
        try:
            flush_output()
        except OutputError as error:
            status, message = EXIT_IO, f"{self.prog}: {error}\n"
        except BrokenPipeError:  # its reader has enough
            drop_output()
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {make_printable(message)}\n")


def parse_as(kind: Kind[T]) -> Callable[[str], T]:
    """Return an argparse type that reads a value as a configuration file would."""

    def parse(text: str) -> T:
        try:
            return kind.parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind.allowed}") from None

    return parse


def queue_name(text: str) -> str:
    """Check the name of a queue early: it may become a folder's name before the kernel sees it."""
    try:
        check_name(text)
    except QueueNameError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_command(commands: Commands, name: str, *, help: str, epilog: str) -> argparse.ArgumentParser:  # noqa: A002, argparse's name
    """Add a command whose help ends with `epilog` as it is written."""
    return commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=epilog,
        formatter_class=FoldedHelp,
    )


def add_json(parser: argparse.ArgumentParser, text: str = "print one JSON document") -> None:
    """Declare `--json`, which every command has that prints facts."""
    parser.add_argument("--json", action="store_true", help=text)


def add_config_file(parser: argparse.ArgumentParser, *, is_needed: bool = False) -> None:
    """Declare the sidecar's configuration file, which all commands that are about a sidecar name alike."""
    text = "INI file with a section [event-publisher:NAME]"
    parser.add_argument("config_file", metavar="CONFIG.ini", nargs=None if is_needed else "?", help=text)


def add_queue_name(
    parser: argparse.ArgumentParser, default: str = f"the file's only one, or {DEFAULT_QUEUE}"
) -> None:
    """Declare which queue, and so which section of the configuration file, is meant."""
    parser.add_argument(
        "--queue-name",
        type=queue_name,
        metavar="NAME",
        help=f"queue, section and folder in the spool (default: {default})",
    )


def add_version(parser: argparse.ArgumentParser, describe: Callable[[], str]) -> None:
    """Declare `--version`, which prints what `describe` returns; it is called only then."""

    class ShowVersion(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
            say(describe())
            parser.exit(EXIT_OK)

    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version, and exit")
