"""What ends a command."""

from __future__ import annotations

from eventpub.errors import EventPubError


class UsageError(EventPubError):
    """The command line is wrong in a way that the parser cannot check."""


class OutputError(EventPubError):
    """Standard output cannot be written: free space where it goes, or redirect it to another place."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"standard output: {self.reason}"


class ExtensionError(EventPubError):
    """A command cannot be loaded: reinstall the package that brings it."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(command, reason)
        self.command = command
        self.reason = reason

    def __str__(self) -> str:
        return f"command {self.command!r} cannot be loaded: {self.reason}; reinstall the package that brings it"
