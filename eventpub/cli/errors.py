"""What ends a command before it has done anything."""

from __future__ import annotations

from eventpub.errors import EventPubError


class UsageError(EventPubError):
    """The command line is wrong in a way that the parser cannot check."""


class ExtensionError(EventPubError):
    """A command cannot be loaded: reinstall the package that brings it."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(command, reason)
        self.command = command
        self.reason = reason

    def __str__(self) -> str:
        return f"command {self.command!r} cannot be loaded: {self.reason}; reinstall the package that brings it"
