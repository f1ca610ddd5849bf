"""Argument types and helpers that the parsers of all commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from eventpub.errors import QueueNameError
from eventpub.queue.refusal import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventpub.settings.ini import Kind

T = TypeVar("T")

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001, it has no other name


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
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
