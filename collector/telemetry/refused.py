"""A request that is not let in -> a line with the key that it claims and what is wrong, for the operator.

The sender is told less: who has no key learns nothing about existing ones. A sender that goes on gets a line
every few seconds, and so does each known key whose secret is wrong; names that others make up share one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from eventpub.process.log_limit import LogLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

_REMEDIES = {
    "date_off": "look at the clock and NTP of both hosts",
    "no_date": "its Date cannot be read",
    "no_signature": "it is not signed; is something between that removes headers?",
    "malformed": "its signature cannot be read; is something between that changes headers?",
    "unknown_key": "name the key in [keys], or correct key.name of its sender",
    "wrong_signature": "it is signed by something else than [keys] has, or its body was changed on the way",
    "no_http_signature": "set key.signature = rfc9421 at its sender, or require_signature = any here",
    "two_keys": "its two signatures are of different keys",
}
_MAX_NAME_CHARACTERS = 100


class RefusedLog:
    """Writes lines about requests that are answered with 401."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._limit = LogLimit(logger, *([clock] if clock else []))

    def note(self, facts: Mapping[str, object], client: str) -> None:
        """Log one.

        Args:
            facts: `cause`, `claimed_key`, and what else is known of it.
            client: the address that it comes from.
        """
        cause, name = str(facts["cause"]), str(facts["claimed_key"])[:_MAX_NAME_CHARACTERS]
        kind = {"cause": cause} | ({"claimed_key": name} if cause == "wrong_signature" else {})
        self._limit.log(
            logging.WARNING,
            f"request is refused with 401: {_REMEDIES[cause]}",
            {"client": client, **facts, "claimed_key": name},
            kind=kind,
        )

    def tell_left_out(self, *, at_once: bool = False) -> None:
        """Write how many lines were left out; called about once a second, and at the end with `at_once`."""
        self._limit.tell_left_out(at_once=at_once)
