"""The code blocks of a page, which tests run as a reader would copy them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT


def read_blocks(page: Path | str, language: str) -> list[str]:
    """Return the code blocks of a language, in order, of a page or of a piece of its text."""
    text = page if isinstance(page, str) else page.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def wait_longer(script: str) -> str:
    """Return a script of a page for a machine that is busy: it waits longer for an event to arrive."""
    return script.replace("sleep 2", "sleep 6")


class Block(NamedTuple):
    """A code block of a page.

    Attributes:
        page: its path below the checkout.
        language: as the page says; empty if it says none.
        text: of the block.
        line: of the page.
    """

    page: str
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def find_blocks(page: Path) -> list[Block]:
    """Return all code blocks of a page, whatever their language and however far they are indented."""
    blocks: list[Block] = []
    begun: tuple[str, int, list[str]] | None = None
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = line.strip()
        if begun is None and fence.startswith("```"):
            begun = (fence.removeprefix("```"), number, [])
        elif begun is not None and fence == "```":
            language, first, lines = begun
            path = page.relative_to(ROOT).as_posix()
            blocks.append(Block(path, language, "\n".join(lines) + "\n", first))
            begun = None
        elif begun is not None:
            begun[2].append(line)
    assert begun is None, f"{page}: a block does not end"
    return blocks
