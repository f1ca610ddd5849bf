"""What servers of JetStream say of themselves where clients cannot ask: whether they sync before they confirm.

It is told by a server's monitoring port alone (`http: HOST:8222` in its configuration), so only if
`store.monitoring` names that.
"""

from __future__ import annotations

import http.client
import json
import logging
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

_MAX_BYTES = 1024**2  # an answer has about 5 KB
_REMEDY = "a power cut can lose events that were acknowledged; set sync_interval: always in its jetstream block"


def warn_of_late_syncs(urls: Iterable[str], timeout_seconds: float) -> None:
    """Log a warning for each server that confirms what is not on its disk yet, or that does not say.

    Args:
        urls: of monitoring ports, `http://HOST:8222`.
        timeout_seconds: for each of them.
    """
    for url in urls:
        try:
            syncs = _ask(url, timeout_seconds)
        except (OSError, ValueError, http.client.HTTPException) as error:
            logger.warning("%s does not tell its sync_interval: %s; see store.monitoring", url, error)
            continue
        if not syncs:
            logger.warning("the server of NATS at %s syncs later than it confirms: %s", url, _REMEDY)


def _ask(url: str, timeout_seconds: float) -> bool:
    """Return whether a server syncs each write.

    Raises:
        OSError: it does not answer.
        ValueError: its answer is not one of a server with JetStream.
    """
    with urllib.request.urlopen(f"{url}/varz", timeout=timeout_seconds) as answer:  # noqa: S310, http or https
        told = json.loads(answer.read(_MAX_BYTES))
    config = told.get("jetstream", {}).get("config") if isinstance(told, dict) else None
    if not config:
        raise ValueError("it has no JetStream")
    return bool(config.get("sync_always"))
