"""The queue and the tracker of a Django project, opened once for its settings, and its transactions."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from .app_events import AppEvents, open_events

if TYPE_CHECKING:
    from collections.abc import Callable

SETTING = "EVENTPUB"

_opening = threading.RLock()  # nothing that is done within it switches greenlets
_opened: list[AppEvents | None] = [None]  # the last counts; those before are of settings that a test overrides


def events() -> AppEvents:
    """Return the queue and the tracker of this project, opened by the first call.

    Where a test overrides the settings, processors that were registered before are registered again.

    Raises:
        ConfigError: a setting cannot be used.
        QueueError: the queue cannot be opened.
    """
    return _opened[-1] or _open()


def _open() -> AppEvents:
    with _opening:
        found = _opened[-1]
        if found is None:
            found = open_events(find_settings(), SETTING, _commit_hook)
            found.adopt_processors(outer.tracker for outer in _opened[:-1] if outer)
            _opened[-1] = found
        return found


def find_settings() -> Any:
    """Return the settings as the project has them, {} if it has none."""
    return getattr(settings, SETTING, None) or {}


def follow_override(*, setting: str, enter: bool = False, **_kwargs: Any) -> None:
    """Go by the settings of a test, and afterwards by those of before."""
    if setting == SETTING and enter:
        _opened.append(None)
    elif setting == SETTING and len(_opened) > 1:
        _opened.pop()


def _commit_hook(send: Callable[[], None]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        transaction.on_commit(send, robust=True)
    else:
        send()  # there are no transactions in asynchronous code
