"""A worker that SIGTERM would end at once, and that delivers what waits before it does.

Servers that handle SIGTERM themselves are left alone. Hypercorn's workers do not: when the first of them has
ended, the parent sends SIGTERM to the others, which may not have been told yet that the lifespan is over.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventpub.tracking import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    CallSoon = Callable[[Callable[[], None]], object]


@contextmanager
def drained_by_sigterm() -> Iterator[None]:
    """Let a SIGTERM that comes within the block end the process only after what waits was delivered.

    It does so where the signal has its default action, in the main thread, while asyncio or trio runs there.
    """
    call_soon = _find_call_soon()
    is_main = threading.current_thread() is threading.main_thread()
    if call_soon is None or not is_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    has_come = False

    def end() -> None:
        drain()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal has_come
        if not has_come:
            has_come = True
            call_soon(end)  # what this interrupts may hold the lock that draining needs

    signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is note:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if has_come:
                end()


def _find_call_soon() -> CallSoon | None:
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        trio = sys.modules.get("trio")
    try:
        return None if trio is None else trio.lowlevel.current_trio_token().run_sync_soon
    except RuntimeError:
        return None
