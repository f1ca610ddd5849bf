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


class StructClassError(EventPubError):
    """A text does not name a struct class: name one that the thrift compiler wrote, as package.module:Class."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name  # empty where the text was not even that of a class, and may be a secret
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}".lstrip()
