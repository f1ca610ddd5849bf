"""Why a spool cannot be used."""

from __future__ import annotations

from eventpub.errors import EventPubError


class SpoolError(EventPubError):
    """The spool cannot be used: `path` and `reason` say where and why. Raised at start only."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"spool {self.path}: {self.reason}"


class SpoolDiskError(SpoolError):
    """The spool's disk is full or fails; trying again later may work."""
