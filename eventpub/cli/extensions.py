"""Commands that other packages bring, such as the sidecar's: found by entry point, loaded when they are used.

An entry point of the group `eventpub.commands` is named as its command is, and leads to an `Extension`, in a
module that should import next to nothing, since every `eventpub --help` imports it.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from .errors import ExtensionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .arguments import Commands
    from .findings import Examiner

GROUP = "eventpub.commands"
FACTS = "eventpub.facts"
EXAMINERS = "eventpub.doctor"


class Extension(NamedTuple):
    """What an entry point says about its command.

    Attributes:
        help: one line for `eventpub --help`.
        module: the name of the module whose `add_parser` declares the command.
        is_program: the module's `main` is a `Program` instead; the module is imported before the rest of the
            command line, so it can patch what others import.
        parser_module: of a program, the module whose `build_parser(name)` returns its parser and patches
            nothing; for completion.
    """

    help: str
    module: str
    is_program: bool = False
    parser_module: str = ""


class _Declares(Protocol):
    def add_parser(self, commands: Commands, /) -> None: ...


class Program(Protocol):
    """A function that runs a whole program."""

    def __call__(self, arguments: Sequence[str], /, *, name: str) -> int:
        """Run until stopped and return the exit code; `name` is what its help calls it."""


def find_program(word: str) -> Program | None:
    """Return the program of that name; None if the name is a command's, or cannot be loaded."""
    for entry_point in entry_points(group=GROUP, name=word):
        try:
            extension: Extension = entry_point.load()
            if extension.is_program:
                return cast("Program", importlib.import_module(extension.module).main)
        except (Exception, SystemExit):  # noqa: BLE001, S110, third-party code; `add_parsers` loads it again and reports the error
            pass
    return None


def add_parsers(commands: Commands, wanted: str) -> None:
    """Declare the command `wanted`, and only the names and help lines of all others.

    Raises:
        ExtensionError: `wanted` cannot be loaded.
    """
    for entry_point in sorted(entry_points(group=GROUP)):
        if entry_point.name in commands.choices:
            continue
        try:
            extension: Extension = entry_point.load()
            module = importlib.import_module(extension.module) if entry_point.name == wanted else None
            if module is None or extension.is_program:
                _announce(commands, entry_point.name, extension.help)
            else:
                cast("_Declares", module).add_parser(commands)
        except (Exception, SystemExit) as error:  # third-party code must not keep our commands from running
            if entry_point.name == wanted:
                raise ExtensionError(wanted, str(error) or repr(error)) from error
            _announce(commands, entry_point.name, f"cannot be loaded: {error}".replace("%", "%%"))


def add_all_parsers(commands: Commands) -> None:
    """Declare all commands and programs with their arguments.

    Raises:
        ExtensionError: one of them cannot be loaded.
    """
    for entry_point in sorted(entry_points(group=GROUP)):
        try:
            extension: Extension = entry_point.load()
            if not extension.is_program:
                cast("_Declares", importlib.import_module(extension.module)).add_parser(commands)
            elif extension.parser_module:
                build = importlib.import_module(extension.parser_module).build_parser
                commands.add_parser(entry_point.name, help=extension.help)
                commands.choices[entry_point.name] = build(f"eventpub {entry_point.name}")
        except (Exception, SystemExit) as error:
            raise ExtensionError(entry_point.name, str(error) or repr(error)) from error


def read_facts() -> dict[str, str]:
    """Return what other packages say of this installation, such as whether the sidecar's loops are compiled.

    An entry point of the group `eventpub.facts` is named as the fact is, and leads to a function that returns
    it.
    """
    facts = {}
    for entry_point in sorted(entry_points(group=FACTS)):
        try:
            facts[entry_point.name] = str(entry_point.load()())
        except (Exception, SystemExit) as error:  # noqa: BLE001, third-party code must not keep us from answering
            facts[entry_point.name] = f"unknown ({error})"
    return facts


def load_examiners() -> list[Examiner]:
    """Return the modules that try what a configuration file needs: entry points of the group `eventpub.doctor`.

    Raises:
        ExtensionError: one of them cannot be loaded.
    """
    found = []
    for entry_point in sorted(entry_points(group=EXAMINERS)):
        try:
            found.append(cast("Examiner", entry_point.load()))
        except (Exception, SystemExit) as error:
            raise ExtensionError("doctor", str(error) or repr(error)) from error
    return found


def _announce(commands: Commands, name: str, text: str) -> None:
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(run=lambda _: parser.error(f"its arguments follow its name: eventpub {name} …"))
