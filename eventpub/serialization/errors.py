"""Why bytes are refused as an event."""

from __future__ import annotations

from eventpub.errors import EventPubError


class DecodeError(EventPubError):
    """The document is not Thrift JSON of the expected struct: `path` says where, `reason` why.

    Refuse the document and fix its sender.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
