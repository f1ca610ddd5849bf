"""The `eventpub` command: shows queues, creates them, puts events on them, and says what is wrong.

Each command is a module with `add_parser`, which declares its arguments, and functions that run it and return
an exit code; `command` runs one. Packages that this one does not import bring theirs as `extensions`. Two of
these, the sidecar and the collector, are programs: nothing else is imported before them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_OURS = frozenset(
    {"completion", "doctor", "put", "queue"}
)  # found without looking for extensions, which takes 15 ms


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command or program.

    Args:
        arguments: the command line without the program's name; by default the process's own.

    Returns:
        A program's own exit code, or one of `eventpub.cli.exit_codes`.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] not in _OURS and not words[0].startswith("-"):
        from . import extensions  # noqa: PLC0415, not for ours

        program = extensions.find_program(words[0])
        if program is not None:
            return program(words[1:], name=f"eventpub {words[0]}")
    from .command import run_command  # noqa: PLC0415, gevent's patches, which a program makes, come first

    return run_command(words)
