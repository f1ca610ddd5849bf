"""How the programs write: plain text into a pipe, a little colour on a terminal.

All text leaves here, so this is where control characters that others wrote are escaped, as in JSON, and where
output that cannot be written becomes an `OutputError`. That its reader has gone is left a `BrokenPipeError`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

from eventpub.printable import escape_controls, hide_userinfo

from .errors import OutputError
from .wording import format_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33"}


def say(text: str) -> None:
    """Write a line to standard output."""
    _write_line(escape_controls(text))


def say_styled(text: str, style: str, rest: str = "") -> None:
    """Write a line that begins bold, red, green or yellow where standard output is a terminal that shows it."""
    _write_line(style_text(escape_controls(text), style) + escape_controls(rest))


def say_facts(text: str, facts: Mapping[str, object], *, as_json: bool) -> None:
    """Write facts as one JSON document where that was asked for, and as text otherwise."""
    say(format_json(facts) if as_json else text)


def _write_line(text: str) -> None:
    with writing_output():
        print(text)  # noqa: T201, the one place that prints results


def flush_output() -> None:
    """Write what is buffered to standard output.

    Raises:
        OutputError: it cannot be written; it is discarded.
    """
    with writing_output():
        sys.stdout.flush()


@contextlib.contextmanager
def writing_output() -> Iterator[None]:
    """Turn what goes wrong with standard output into an error of its own.

    Raises:
        OutputError: it cannot be written; what is buffered of it is discarded.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise OutputError(error.strerror or str(error)) from error


def drop_output() -> None:
    """Discard what is still buffered, or the interpreter tries to write it again when it exits."""
    with contextlib.suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str, *, program: str = "eventpub") -> None:
    """Write a line to standard error; if that cannot be written, there is nowhere to say so."""
    with contextlib.suppress(OSError):
        print(f"{program}: {make_printable(text)}", file=sys.stderr)  # noqa: T201, the one place that prints problems


def make_printable(text: str) -> str:
    """Return a message without control characters, and without users and passwords of URLs."""
    return hide_userinfo(escape_controls(text))


def show_progress(text: str) -> None:
    """Replace the progress line on a terminal; an empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{escape_controls(text)}", end="", file=sys.stderr, flush=True)  # noqa: T201, see above


def style_text(text: str, style: str) -> str:
    """Return `text` bold, red, green or yellow where standard output is a terminal that shows it.

    A NO_COLOR in the environment turns that off (https://no-color.org).
    """
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows in columns of the least width; numbers are aligned to the right."""
    lines = [[escape_controls(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row, line in enumerate(lines):
        cells = [
            cell.rjust(width) if cell.replace(",", "").isdigit() and number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text = "  ".join(cells).rstrip()
        say_styled("", "bold", text) if row else say_styled(text, "bold")
