"""What keeps a command on a spool from its work, in words and as an exit code."""

from __future__ import annotations

import functools
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.exit_codes import EXIT_CONFIG, EXIT_FAILING, EXIT_NO_SPOOL
from eventpub.cli.terminal import complain
from eventpub.errors import ConfigError
from eventpub.sidecar.queue_choice import COLLECTOR_SECTION
from eventpub.sidecar.spool.errors import SpoolError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def guard_command(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Have a command say what kept it from its work, and return the code for that."""

    @functools.wraps(run)
    def guard(options: argparse.Namespace) -> int:
        try:
            return run(options)
        except BrokenPipeError:
            raise
        except ConfigError as error:
            complain(f"{error}{_suggest_arguments(error, options)}")
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


def _suggest_arguments(error: ConfigError, options: argparse.Namespace) -> str:
    """Return which other arguments of this command would do without the file."""
    if error.section == COLLECTOR_SECTION and hasattr(options, "store"):
        return f"; to look into what the collector has stored: --store {options.config_file}"
    return (
        "; to use a spool without its configuration, name it with --spool DIR"
        if hasattr(options, "spool")
        else ""
    )


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
