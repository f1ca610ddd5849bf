"""Warnings of the queue, which `put` may have to give: an application's logging must not make it fail."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def warn(logger: logging.Logger, template: str, *arguments: object) -> None:
    """Log a warning; what a handler or a filter of the application raises is dropped."""
    with contextlib.suppress(Exception):
        logger.warning(template, *arguments, stacklevel=2)
