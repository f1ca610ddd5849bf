"""How the command writes: plain text into a pipe, a little colour on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33"}


def say(text: str) -> None:
    """Write a line to standard output."""
    print(text)  # noqa: T201, the one place that prints results


def complain(text: str) -> None:
    """Write a line to standard error."""
    print(f"eventpub: {text}", file=sys.stderr)  # noqa: T201, the one place that prints problems


def show_progress(text: str) -> None:
    """Replace the progress line on a terminal; an empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)  # noqa: T201, see above


def style_text(text: str, style: str) -> str:
    """Return `text` bold, red, green or yellow where standard output is a terminal that shows it.

    A NO_COLOR in the environment turns that off (https://no-color.org).
    """
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows in columns of the least width; numbers are aligned to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if cell.replace(",", "").isdigit() and number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text = "  ".join(cells).rstrip()
        say(style_text(text, "bold") if line is header else text)
