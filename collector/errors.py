"""The collector's own errors."""

from __future__ import annotations

from eventpub.errors import EventPubError


class StoreReadError(EventPubError):
    """A store cannot be read or trimmed: `store` says which, `reason` why."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(store, reason)
        self.store = store
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.store}: cannot be read: {self.reason}"
