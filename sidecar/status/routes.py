"""The record over HTTP: `/status`, `/livez`, `/readyz` and `/metrics`.

`/livez` says no when only another start helps: a stage is frozen. `/readyz` says no for whatever keeps events
from being delivered, with the reasons in words, one a line. Both answer from what the stages did last, so a
stage that hangs shows while the loop still turns; a loop that does not turn answers nobody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from eventpub.errors import suggest_install
from eventpub.process.listener import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventpub.process.listener import Answerer
    from eventpub.sidecar.telemetry.attempts import Attempts

    from .record import StatusRecord, Trouble

logger = logging.getLogger(__name__)

SERVICE_UNAVAILABLE = 503
NOT_IMPLEMENTED = 501
_MISSING = f"/metrics needs another package: {suggest_install('prometheus')}"


def load_metrics() -> None:
    """Import what `/metrics` needs now, and not at the first scrape; say so if it is not installed."""
    try:
        from . import prometheus  # noqa: F401, PLC0415, an extra
    except ImportError:
        logger.warning("%s", _MISSING)


def make_routes(look: Callable[..., StatusRecord], attempts: Attempts) -> dict[str, Answerer]:
    """Return the table of what anybody may ask.

    Args:
        look: returns the record; `with_slow_facts=False` where only troubles are wanted.
        attempts: has the histograms.
    """

    def answer_status(_: Mapping[str, str]) -> Reply:
        return Reply.json(look().to_json())

    def answer_livez(_: Mapping[str, str]) -> Reply:
        record = look(with_slow_facts=False)
        return _say_troubles([trouble for trouble in record.troubles if not record.is_alive])

    def answer_readyz(_: Mapping[str, str]) -> Reply:
        record = look(with_slow_facts=False)
        return _say_troubles([trouble for trouble in record.troubles if trouble.is_blocking])

    def answer_metrics(_: Mapping[str, str]) -> Reply:
        try:
            from . import prometheus  # noqa: PLC0415, an extra
        except ImportError:
            return Reply.text(_MISSING, NOT_IMPLEMENTED)
        document = prometheus.write_metrics(look(with_slow_facts=False), attempts)
        return Reply(document, content_type=prometheus.CONTENT_TYPE)

    return {
        "/status": answer_status,
        "/livez": answer_livez,
        "/readyz": answer_readyz,
        "/metrics": answer_metrics,
    }


def _say_troubles(troubles: list[Trouble]) -> Reply:
    if not troubles:
        return Reply.text("ok")
    return Reply.text(
        "\n".join(f"{trouble.code}: {trouble.words}" for trouble in troubles), SERVICE_UNAVAILABLE
    )
