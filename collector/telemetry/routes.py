"""The collector's counts over HTTP: `/status`, `/livez`, `/readyz` and `/metrics`.

They tell what was done last and never ask the store, so one that hangs shows. `/livez` says no when only
another start helps, `/readyz` for whatever keeps batches from being stored.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from eventpub.errors import suggest_install
from eventpub.process.listener import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventpub.process.listener import Answerer

    from .counts import Snapshot

logger = logging.getLogger(__name__)

_UNAVAILABLE = 503


def find_hang(snapshot: Snapshot, hung_seconds: float) -> str:
    """Return what has hung for longer than `hung_seconds`, in words; empty if nothing has."""
    if snapshot.store_busy_seconds > hung_seconds:
        return f"hung: the store has not answered for {snapshot.store_busy_seconds:.0f} s"
    silent_seconds = time.time() - snapshot.taken_at
    if silent_seconds > hung_seconds:
        return f"hung: a worker has not said how it is for {silent_seconds:.0f} s"
    return ""


def make_routes(look: Callable[[], Snapshot], hung_seconds: float) -> dict[str, Answerer]:
    """Return the table of what may be asked.

    Args:
        look: returns what is known.
        hung_seconds: what makes no progress for longer hangs.
    """

    def answer_status(_: Mapping[str, str]) -> Reply:
        return Reply.json(look().to_json())

    def answer_livez(_: Mapping[str, str]) -> Reply:
        return _say(find_hang(look(), hung_seconds))

    def answer_readyz(_: Mapping[str, str]) -> Reply:
        snapshot = look()
        refused = "" if snapshot.is_writable else f"store: {snapshot.reason}"
        return _say(find_hang(snapshot, hung_seconds) or refused)

    def answer_metrics(_: Mapping[str, str]) -> Reply:
        try:
            from .prometheus import CONTENT_TYPE, write_metrics  # noqa: PLC0415, an extra; it takes 60 ms
        except ImportError:
            return Reply.text(f"/metrics needs another package: {suggest_install('prometheus')}", 501)
        return Reply(write_metrics(look()), content_type=CONTENT_TYPE)

    return {
        "/status": answer_status,
        "/livez": answer_livez,
        "/readyz": answer_readyz,
        "/metrics": answer_metrics,
    }


def _say(trouble: str) -> Reply:
    return Reply.text(trouble, _UNAVAILABLE) if trouble else Reply.text("ok")
