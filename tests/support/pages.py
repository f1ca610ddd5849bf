"""The code blocks of a page, which tests run as a reader would copy them."""

from __future__ import annotations

import re
from pathlib import Path


def read_blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def wait_longer(script: str) -> str:
    """Return a script of a page for a machine that is busy: it waits longer for an event to arrive."""
    return script.replace("sleep 2", "sleep 6")
