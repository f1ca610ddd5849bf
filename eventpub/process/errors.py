"""What keeps a process from being looked at."""

from __future__ import annotations

from eventpub.errors import EventPubError


class ListenError(EventPubError):
    """Nobody can be answered at an address.

    Attributes:
        address: where.
        reason: why not, and what to do.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address
        self.reason = reason
