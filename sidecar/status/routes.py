"""The record over HTTP: `/status`, `/livez`, `/readyz` and `/metrics`.

`/livez` says no when only another start helps: a stage is frozen. `/readyz` says no for whatever keeps events
from being delivered, with the reasons in words, one a line. Both answer from what the stages did last, so a
stage that hangs shows while the loop still turns; a loop that does not turn answers nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.process.listener import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventpub.process.listener import Answerer

    from .record import StatusRecord, Trouble

SERVICE_UNAVAILABLE = 503


def make_routes(look: Callable[..., StatusRecord]) -> dict[str, Answerer]:
    """Return the table of what anybody may ask.

    Args:
        look: returns the record; `with_slow_facts=False` where only troubles are wanted.
    """

    def answer_status(_: Mapping[str, str]) -> Reply:
        return Reply.json(look().to_json())

    def answer_livez(_: Mapping[str, str]) -> Reply:
        record = look(with_slow_facts=False)
        return _say_troubles([trouble for trouble in record.troubles if not record.is_alive])

    def answer_readyz(_: Mapping[str, str]) -> Reply:
        record = look(with_slow_facts=False)
        return _say_troubles([trouble for trouble in record.troubles if trouble.is_blocking])

    return {"/status": answer_status, "/livez": answer_livez, "/readyz": answer_readyz}


def _say_troubles(troubles: list[Trouble]) -> Reply:
    if not troubles:
        return Reply.text("ok")
    return Reply.text(
        "\n".join(f"{trouble.code}: {trouble.words}" for trouble in troubles), SERVICE_UNAVAILABLE
    )
