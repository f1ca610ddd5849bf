"""A secret that is never an argument: it is in a file or a variable of its own, and is read at every use.

So it never appears in a repr, a log, or a configuration passed to other processes, and a new one works at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eventpub.errors import HandlerError

if TYPE_CHECKING:
    from pathlib import Path


def check_secret(handler: str, what: str, file: Path | None, variable: str | None) -> None:
    """Raise HandlerError unless exactly one of the two is given."""
    if (file is None) == (variable is None):
        raise HandlerError(handler, f"give either {what}_file or {what}_variable, not both")


def read_secret(handler: str, what: str, file: Path | None, variable: str | None) -> str:
    """Return the secret without surrounding white space.

    Raises:
        HandlerError: the secret cannot be read, or is empty; its text is not shown.
    """
    place = f"{what}_file {file}" if file else f"{what}_variable {variable}"
    try:
        text = file.read_text(encoding="utf-8") if file else os.environ[variable or ""]
    except OSError as error:
        raise HandlerError(handler, f"{place} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise HandlerError(handler, f"{place} is not text") from None
    except KeyError:
        raise HandlerError(handler, f"{place} is not set in the environment") from None
    if not text.strip():
        raise HandlerError(handler, f"{place} is empty")
    return text.strip()
