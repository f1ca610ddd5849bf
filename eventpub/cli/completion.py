"""`eventpub completion`: a script that completes commands, options, files and names of queues in a shell.

The script is written once, by shtab, and knows the commands that were installed then; pressing the tab key
starts no Python. Only the names of queues are looked up at that time, in the mqueue file system.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from eventpub.errors import suggest_install

from .arguments import add_command
from .exit_codes import EXIT_FAILING, EXIT_OK
from .terminal import complain, writing_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .arguments import Commands

_EPILOG = """\
examples:
  eventpub completion bash > ~/.local/share/bash-completion/completions/eventpub
  eventpub completion zsh > ~/.zfunc/_eventpub        with `fpath+=~/.zfunc` before compinit in ~/.zshrc
  eventpub completion fish > ~/.config/fish/completions/eventpub.fish

Make the folder first if it is missing. bash looks there if the package bash-completion is installed; where it
is not, put `source <(eventpub completion bash)` into ~/.bashrc. Names of queues come from /dev/mqueue, if that
is mounted. Write the script again after an upgrade. Needs shtab, which the extra "completion" brings.

exit codes: 0 written   2 shtab is not installed   64 wrong arguments
"""
_SHELLS = ("bash", "zsh", "fish")
_FILES = {"CONFIG.ini", "FILE", "DIR", "PATH", "STORE", "SCRIPT"}  # metavars
_FILE_COMPLETION = {"bash": "_shtab_compgen_files", "zsh": "_files", "fish": "__fish_complete_path"}
_QUEUE_COMPLETION = {"bash": "_eventpub_queues", "zsh": "_eventpub_queues", "fish": "_eventpub_queues"}
_QUEUE_NAMES = {  # how each shell lists the queues of this machine
    "bash": """\
_eventpub_queues() {
  local queue
  for queue in /dev/mqueue/events-"$1"*; do [[ -e $queue ]] && echo "${queue##*/events-}"; done
}""",
    "zsh": """\
_eventpub_queues() { local -a queues; queues=(/dev/mqueue/events-*(N:t:s/events-//)); compadd -a queues }""",
    "fish": """\
function _eventpub_queues
    path basename /dev/mqueue/events-* 2>/dev/null | string replace events- ''
end""",
}


def add_parser(commands: Commands, build_whole_parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Declare the command; it needs the parser with all commands, which is built when it runs."""
    parser = add_command(
        commands, "completion", help="print a script that completes this command in a shell", epilog=_EPILOG
    )
    parser.add_argument("shell", choices=_SHELLS, help="which shell")
    parser.set_defaults(run=run_completion, build_whole_parser=build_whole_parser)


def run_completion(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    try:
        import shtab  # noqa: PLC0415, an extra
    except ModuleNotFoundError:
        complain(f"completion needs shtab: {suggest_install('completion')}")
        return EXIT_FAILING
    parser = options.build_whole_parser()
    for action in _list_actions(parser):
        if action.metavar in _FILES:
            action.complete = _FILE_COMPLETION  # type: ignore[attr-defined]  # where shtab looks for it
        elif action.dest in ("name", "queue_name"):
            action.complete = _QUEUE_COMPLETION  # type: ignore[attr-defined]
    with writing_output():
        print(shtab.complete(parser, options.shell, preamble=_QUEUE_NAMES[options.shell]))  # noqa: T201, a script and no text for people
    return EXIT_OK


def _list_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:  # noqa: SLF001, argparse has no other way to look into a parser
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001, likewise
            for child in action.choices.values():
                yield from _list_actions(child)
