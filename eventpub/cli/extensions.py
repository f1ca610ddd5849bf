"""Commands that other packages bring, such as the sidecar's: found by entry point, loaded when they are used.

An entry point of the group `eventpub.commands` is named as its command is, and leads to an `Extension`, in a
module that should import next to nothing, since every `eventpub --help` imports it.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple, Protocol

from eventpub.errors import EventPubError

if TYPE_CHECKING:
    from .arguments import Commands

GROUP = "eventpub.commands"


class Extension(NamedTuple):
    """A command as it is announced.

    Attributes:
        help: one line for `eventpub --help`.
        module: the name of the module whose `add_parser` declares the command.
    """

    help: str
    module: str


class ExtensionError(EventPubError):
    """A command cannot be loaded: reinstall the package that brings it."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(command, reason)
        self.command = command
        self.reason = reason

    def __str__(self) -> str:
        return f"command {self.command!r} cannot be loaded: {self.reason}; reinstall the package that brings it"


class _Declares(Protocol):
    def add_parser(self, commands: Commands, /) -> None: ...


def add_parsers(commands: Commands, wanted: str) -> None:
    """Declare the command `wanted`, and of all others that are installed only name and help.

    Raises:
        ExtensionError: `wanted` cannot be loaded.
    """
    for entry_point in sorted(entry_points(group=GROUP)):
        if entry_point.name in commands.choices:
            continue
        try:
            extension: Extension = entry_point.load()
            if entry_point.name == wanted:
                module: _Declares = importlib.import_module(extension.module)
                module.add_parser(commands)
            else:
                commands.add_parser(entry_point.name, help=extension.help)
        except Exception as error:  # somebody else's code; it must not keep our commands from running
            if entry_point.name == wanted:
                raise ExtensionError(wanted, str(error) or repr(error)) from error
            commands.add_parser(entry_point.name, help=f"cannot be loaded: {error}".replace("%", "%%"))
