"""Events within events: a processor may emit, and so may a handler of the log, but not without end."""

from __future__ import annotations

import sys
from traceback import walk_stack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

_MOST_NESTED = 3

emitting: set[int] = set()  # threads that are within `emit`, so that others need not look at their stack


def is_nested_too_deeply(code: CodeType) -> bool:
    """Tell whether this thread, or this greenlet of it, is in more calls of that code than may be nested."""
    return sum(frame.f_code is code for frame, _ in walk_stack(sys._getframe())) > _MOST_NESTED  # noqa: SLF001
